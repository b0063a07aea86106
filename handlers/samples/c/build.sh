#!/bin/sh
# C to a component: wit-bindgen makes the bindings, zig cc a module, jco the component. The null adapter stands for WASI.
# Called by ../build.sh with TOOLS and OUT.
set -e
cd "$(dirname "$0")"
PYTHON=$TOOLS/python/bin/python WIT_BINDGEN=$TOOLS/cargo/bin/wit-bindgen JCO=$TOOLS/npm/node_modules/.bin/jco
"$PYTHON" -c 'import ziglang' 2>/dev/null || { echo "c: skipped, no zig cc: run tools.sh python" >&2; exit 3; }
[ -x "$WIT_BINDGEN" ] || { echo "c: skipped, no wit-bindgen: run tools.sh wit-bindgen" >&2; exit 3; }
[ -x "$JCO" ] || { echo "c: skipped, no jco: run tools.sh npm" >&2; exit 3; }

WORK=$OUT/parts/c
mkdir -p "$WORK"
"$WIT_BINDGEN" c ../../../wit --world handler --out-dir "$WORK" > "$WORK/log"
# Without a stack size zig takes 16 MiB for it.
"$PYTHON" -m ziglang cc -target wasm32-wasi -std=c23 -Os -Wall -Wextra -mexec-model=reactor -Wl,--strip-all \
    -Wl,-z,stack-size=65536 -I"$WORK" handler.c order.c "$WORK/handler.c" "$WORK/handler_component_type.o" \
    -o "$WORK/core.wasm"
"$JCO" parse ../adapter/null-strict.wat -o "$WORK/null.wasm" >> "$WORK/log"
"$JCO" new "$WORK/core.wasm" --adapt "wasi_snapshot_preview1=$WORK/null.wasm" -o "$OUT/c.wasm" >> "$WORK/log"
