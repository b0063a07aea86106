#!/bin/sh
# Builds the sample handlers into build/ (or $OUT) with what tools.sh installed.
# A sample whose toolchain is missing is skipped: build.sh of its folder ends with 3 and says what is missing.
# Usage: build.sh [javascript|python|c|rust]...
cd "$(dirname "$0")" || exit 1
export TOOLS="${TOOLS:-$PWD/.tools}" OUT="${OUT:-$PWD/build}"
mkdir -p "$OUT"
failed=0
[ $# -gt 0 ] || set -- javascript python c rust
for language; do
    sh "$language/build.sh" && continue
    code=$?
    [ $code -eq 3 ] || { echo "build.sh: $language failed" >&2; failed=1; }
done
exit $failed
