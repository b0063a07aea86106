#!/bin/sh
# Python to components: componentize-py adds CPython 3.14 and, with --stub-wasi, takes its imports away.
# Called by ../build.sh with TOOLS and OUT.
set -e
cd "$(dirname "$0")"
COMPONENTIZE=$TOOLS/python/bin/componentize-py
[ -x "$COMPONENTIZE" ] || { echo "python: skipped, no componentize-py: run tools.sh python" >&2; exit 3; }

WORK=$OUT/parts/python
rm -rf "$WORK" && mkdir -p "$WORK"
cp handler.py probe.py "$WORK"
python3 - ../order > "$WORK/schemas.py" <<'SCHEMAS' # a module, for there are no files at run time
import pathlib, sys
for name in ("payload", "output"):
    print(f"{name.upper()}_SCHEMA = {pathlib.Path(sys.argv[1], name + '.schema.json').read_text()!r}")
SCHEMAS

component() {
    PYTHONHASHSEED=0 "$COMPONENTIZE" --quiet --wit-path ../../../wit --world handler \
        componentize "$1" --python-path "$WORK" --stub-wasi --output "$OUT/$2.wasm"
}
component handler python
component probe python-probe
