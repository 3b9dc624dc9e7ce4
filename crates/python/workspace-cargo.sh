#!/bin/sh
# Cargo as maturin calls it for the wheel of tests. Maturin builds one package alone, and the engine below it would be
# compiled once more with the few features that this package needs: minutes. `cargo xtask python` has built the
# workspace, as all other tests do, and left cargo's messages where this finds them. What ships is built without it:
# `cargo xtask wheel`.
set -eu
if [ "$1" = rustc ]; then
    exec cat "$(dirname "$0")/../../target/python/built.json"
fi
exec cargo "$@"
