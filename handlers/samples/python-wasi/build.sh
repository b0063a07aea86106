#!/bin/sh
# The probe of ../python without --stub-wasi: it imports WASI 0.2 for real, and runs in the profile `wasi` only.
# Called like ../python/build.sh, with TOOLS and OUT; gives python-wasi-probe.wasm.
set -e
cd "$(dirname "$0")"
COMPONENTIZE=$TOOLS/python/bin/componentize-py
[ -x "$COMPONENTIZE" ] || { echo "python-wasi: skipped, no componentize-py: run tools.sh python" >&2; exit 3; }

WORK=$OUT/parts/python-wasi
rm -rf "$WORK" && mkdir -p "$WORK"
cp ../python/probe.py "$WORK"
PYTHONHASHSEED=0 "$COMPONENTIZE" --quiet --wit-path ../../../wit --world handler \
    componentize probe --python-path "$WORK" --output "$OUT/python-wasi-probe.wasm"
