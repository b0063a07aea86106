#!/bin/sh
# Rust to a component: cargo makes a module without WASI, jco the component. Called by ../build.sh with TOOLS and OUT.
set -e
cd "$(dirname "$0")"
JCO=$TOOLS/npm/node_modules/.bin/jco TARGET=wasm32-unknown-unknown
[ -x "$JCO" ] || { echo "rust: skipped, no jco: run tools.sh npm" >&2; exit 3; }
[ -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ] ||
    { echo "rust: skipped, no target $TARGET: run tools.sh rust" >&2; exit 3; }

WORK=$OUT/parts/rust/target # under this name, no tool takes what cargo generates for source
mkdir -p "$WORK"
# Folders of this machine are renamed, so that the bytes are the same elsewhere.
CARGO_ENCODED_RUSTFLAGS="$(printf '%s\037%s\037%s' "--remap-path-prefix=$PWD=/src" \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" "--remap-path-prefix=$WORK=/target")"
export CARGO_ENCODED_RUSTFLAGS
cargo build --quiet --locked --release --target $TARGET --target-dir "$WORK"
"$JCO" new "$WORK/$TARGET/release/order_confirm.wasm" -o "$OUT/rust.wasm" > "$WORK/log"
