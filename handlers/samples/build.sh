#!/bin/sh
# Builds the sample handlers into build/ (or $OUT), each with `openexec handler build`, which says what to install if a tool is
# missing. tools.sh installs all of them; samples that cannot be built are named, and the others are built.
# OPENEXEC names the binary (default: the release build, else the debug build).
# Usage: build.sh [javascript|javascript/probe|python|python/probe|python-wasi|c|rust|go]...
cd "$(dirname "$0")" || exit 1
TOOLS=${TOOLS:-$PWD/.tools} OUT=${OUT:-$PWD/build} RELEASE=$PWD/../../target/release/openexec
OPENEXEC=${OPENEXEC:-$([ -x "$RELEASE" ] && echo "$RELEASE" || echo "$PWD/../../target/debug/openexec")}
export OUT PATH="$TOOLS/npm/node_modules/.bin:$TOOLS/python/bin:$PATH"
mkdir -p "$OUT"
failed=0
[ $# -gt 0 ] || set -- javascript javascript/probe python python/probe python-wasi c rust go
for sample; do
    [ "$sample" != python-wasi ] || { sh python-wasi/build.sh || failed=1; continue; }
    "$OPENEXEC" handler build "$sample" && mv "$sample"/*.wasm "$OUT/$(echo "$sample" | tr / -).wasm" || failed=1
done
exit $failed
