#!/bin/sh
# JavaScript to components: esbuild makes one module, componentize-qjs adds the engine QuickJS and takes its imports away.
# Called by ../build.sh with TOOLS and OUT.
set -e
cd "$(dirname "$0")"
BIN=$TOOLS/npm/node_modules/.bin
for tool in esbuild componentize-qjs; do
    [ -x "$BIN/$tool" ] || { echo "javascript: skipped, no $tool: run tools.sh npm" >&2; exit 3; }
done

WORK=$OUT/parts/javascript
mkdir -p "$WORK"
cc -O2 -shared -fPIC ../fixed.c -o "$WORK/fixed.so" # the engine runs while it is built: same clock, same bytes

component() {
    "$BIN/esbuild" "$1" --bundle --format=esm --platform=neutral --target=es2022 --loader:.json=text \
        --outfile="$WORK/$1" --log-level=warning
    LD_PRELOAD=$WORK/fixed.so node "$BIN/componentize-qjs" --wit ../../../wit -n handler --js "$WORK/$1" \
        --sync --stub-wasi -o "$OUT/$2.wasm" > "$WORK/$2.log"
}
component handler.js javascript
component probe.js javascript-probe
