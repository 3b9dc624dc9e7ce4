#!/bin/sh
# Builds partners.wasm. Needs: cargo, and the target (`rustup target add wasm32-unknown-unknown`).
set -eu
cd "$(dirname "$0")"

# The default stack of 1 MiB would be part of every instance's memory. Paths of this machine are no business of
# who receives the component.
RUSTFLAGS="-Clink-arg=-zstack-size=32768 \
--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$(cd ../../.. && pwd)=/pinfold" \
    cargo build --locked --release --target wasm32-unknown-unknown --target-dir build
cargo run --quiet --locked --manifest-path ../encode/Cargo.toml --target-dir ../encode/build -- \
    build/wasm32-unknown-unknown/release/partners.wasm partners.wasm
