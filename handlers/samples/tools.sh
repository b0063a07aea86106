#!/bin/sh
# Installs the toolchains of the sample handlers, with their versions, into .tools/ (or $TOOLS). Runs again quickly.
# Needs: Python 3 with venv, Node 20 with npm, Rust through rustup, a C compiler. About 1.4 GB and, for wit-bindgen,
# which is compiled, some minutes. A toolchain that cannot be installed is reported; the samples without it are skipped.
# Usage: tools.sh [npm|python|rust|wit-bindgen]...
set -u
cd "$(dirname "$0")" || exit 1
TOOLS=${TOOLS:-$PWD/.tools}
mkdir -p "$TOOLS"

# JavaScript; encoding of components (jco has the functions of wasm-tools).
npm() (
    mkdir -p "$TOOLS/npm" && cd "$TOOLS/npm" || return 1
    [ -f package.json ] || echo '{"private":true}' > package.json
    [ -x node_modules/.bin/jco ] || command npm install --save-exact --no-audit --no-fund componentize-qjs@0.4.5 \
        esbuild@0.28.2 @bytecodealliance/jco@1.35.0
)

# Python; a C compiler (zig cc).
python() {
    [ -x "$TOOLS/python/bin/componentize-py" ] || {
        python3 -m venv "$TOOLS/python" &&
        "$TOOLS/python/bin/pip" install --quiet componentize-py==0.25.1 ziglang==0.17.0
    }
}

rust() {
    rustup target add wasm32-unknown-unknown
}

# Bindings for C. The crate generates them in a blink even when it is built without optimisation.
wit_bindgen() {
    [ -x "$TOOLS/cargo/bin/wit-bindgen" ] || CARGO_PROFILE_DEV_DEBUG=0 nice -n 10 cargo install wit-bindgen-cli \
        --version 0.63.0 --locked --debug --no-default-features --features c --root "$TOOLS/cargo"
}

[ $# -gt 0 ] || set -- npm python rust wit-bindgen
for tool; do
    case $tool in
        npm) npm ;;
        python) python ;;
        rust) rust ;;
        wit-bindgen) wit_bindgen ;;
        *) echo "tools.sh: no tool '$tool'" >&2; exit 2 ;;
    esac || echo "tools.sh: $tool could not be installed; samples that need it will be skipped" >&2
done
