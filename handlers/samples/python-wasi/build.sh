#!/bin/sh
# The probe of ../python without a stub for WASI: it imports WASI 0.2 for real, and runs in the profile `wasi` only.
# Called by ../build.sh, after python/probe and with its PATH and OUT; gives python-wasi.wasm.
set -e
cd "$(dirname "$0")"
PYTHONHASHSEED=0 componentize-py --quiet --wit-path ../../../wit --world handler componentize handler \
    --python-path ../python/probe/src --python-path ../python/probe/build/python --output "$OUT/python-wasi.wasm"
