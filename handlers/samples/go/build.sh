#!/bin/sh
# Go to a component: wit-bindgen makes the bindings, go a module for wasip1, and the null adapter stands for WASI. The
# module is started while it is built (wizer), so that a call begins where Go's start ended.
# Called by ../build.sh with TOOLS and OUT.
set -e
cd "$(dirname "$0")"
WIT_BINDGEN=$TOOLS/cargo/bin/wit-bindgen BIN=$TOOLS/npm/node_modules/.bin GO=$TOOLS/python/bin/go
[ -x "$GO" ] || { echo "go: skipped, no go: run tools.sh python" >&2; exit 3; }
[ -x "$WIT_BINDGEN" ] || { echo "go: skipped, no wit-bindgen: run tools.sh wit-bindgen" >&2; exit 3; }
[ -x "$BIN/jco" ] && [ -x "$BIN/wasm-merge" ] && [ -x "$BIN/wizer" ] ||
    { echo "go: skipped, no jco, binaryen or wizer: run tools.sh npm" >&2; exit 3; }

WORK=$OUT/work/go
MODULE=$WORK/module
rm -rf "$MODULE" && mkdir -p "$MODULE"
"$WIT_BINDGEN" go ../../../wit --world handler --out-dir "$MODULE" > "$WORK/log"
cp -r support "$WORK/"
cp handler.go order.go ../order/*.schema.json "$MODULE/export_openexec_handler_guest/"
cat > "$MODULE/go.mod" <<'MOD'
module wit_component

go 1.25

require go.bytecodealliance.org/pkg v0.4.0

replace go.bytecodealliance.org/pkg => ../support
MOD
(
    cd "$MODULE"
    export GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOPROXY=off GOSUMDB=off GOFLAGS=-mod=mod
    export GOPATH="$WORK/path" GOCACHE="${GOCACHE:-$WORK/cache}"
    "$GO" build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$WORK/raw.wasm" .
)
"$BIN/jco" parse ../adapter/null.wat -o "$WORK/null.wasm" >> "$WORK/log"
"$BIN/wasm-merge" --all-features "$WORK/raw.wasm" env "$WORK/null.wasm" wasi_snapshot_preview1 \
    --skip-export-conflicts -o "$WORK/merged.wasm"
"$BIN/wizer" --init-func=_initialize "$WORK/merged.wasm" -o "$WORK/started.wasm"
"$BIN/jco" embed --wit ../../../wit --world-name handler "$WORK/started.wasm" -o "$WORK/core.wasm" >> "$WORK/log"
"$BIN/jco" new "$WORK/core.wasm" -o "$OUT/go.wasm" >> "$WORK/log"
