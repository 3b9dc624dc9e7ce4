#!/bin/sh
# Builds the native half and puts it where Python finds it: for working on the package without making a wheel.
set -eu
cd "$(dirname "$0")/../.."
cargo build -p pinfold-python
cp target/debug/libpinfold_python.so crates/python/python/pinfold/_native.abi3.so.new
mv crates/python/python/pinfold/_native.abi3.so.new crates/python/python/pinfold/_native.abi3.so
