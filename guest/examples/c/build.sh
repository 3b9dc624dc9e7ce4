#!/bin/sh
# Builds partners.wasm. Needs: clang and lld for wasm32 (Debian: `apt-get install clang lld`), and cargo
# for the encoder. No C library: what is needed of one is in libc/.
set -eu
cd "$(dirname "$0")"

mkdir -p build
{
    echo 'static const char SCHEMA[] ='
    sed -e 's/["\\]/\\&/g' -e 's/.*/    "&\\n"/' settings.schema.json
    echo '    ;'
} > build/schema.h

# The default stack would be part of every instance's memory; an overflow of this one, which lies first,
# traps instead of overwriting data.
clang --target=wasm32-unknown-unknown -std=c11 -O2 -Wall -Wextra \
    -ffreestanding -fno-builtin -nostdlib -isystem libc -I. \
    -Wl,--no-entry,--strip-all,--stack-first,-zstack-size=32768 \
    partners.c settings.c libc/libc.c bindings/policy.c -o build/module.wasm
cargo run --quiet --locked --manifest-path ../encode/Cargo.toml --target-dir ../encode/build -- \
    build/module.wasm partners.wasm ../../../wit
