#!/bin/sh
# Builds partners.wasm. Needs: Python 3.10 or newer with venv. The compiler is installed into .venv.
set -eu
cd "$(dirname "$0")"

if [ ! -x .venv/bin/componentize-py ]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
fi
# With WASI stubbed the interpreter imports nothing.
.venv/bin/componentize-py --wit-path ../../../wit --world policy \
    componentize --stub-wasi --python-path . --output partners.wasm policy
