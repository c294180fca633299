#!/usr/bin/env bash
# Checks ci/mutants/compare.sh: each kind of difference between results and lists is reported, and an equal count passes.
set -euo pipefail
compare=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/compare.sh
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/results" "$place/lists"

fail() { echo "ci/mutants/test.sh: $1" >&2; exit 1; }

# results MISSED TIMEOUT; lists EQUIVALENT ENDLESS
results() {
    printf '%b' "$1" >"$place/results/missed.txt"
    printf '%b' "$2" >"$place/results/timeout.txt"
    : >"$place/results/caught.txt" >"$place/results/unviable.txt"
}
lists() {
    printf '%b' "# comment\n\n$1" >"$place/lists/equivalent.txt"
    printf '%b' "$2" >"$place/lists/endless.txt"
}
passes() { "$compare" "$place/results" "$1" "$place/lists" >"$place/log" 2>&1 || fail "$2: $(<"$place/log")"; }
refuses() { ! "$compare" "$place/results" "$1" "$place/lists" >"$place/log" 2>&1 || fail "$2 passes"; }

two='src/a.rs:1:2: replace && with || in f\nsrc/a.rs:7:9: replace && with || in f\n'
name='src/a.rs: replace && with || in f'
results "$two" ''
lists "2\t$name\tequal\n" ''
passes all 'an equal count'
lists "1\t$name\tequal\n" ''
refuses part 'a second change of the same name'
lists '' ''
refuses part 'a change that is not listed'
lists '' "2\t$name\tendless\n"
refuses part 'a missed change in the list of endless ones'
lists "3\t$name\tequal\n" ''
passes part 'a part of the listed changes'
refuses all 'a list that is longer than what was found'
lists "2\t$name\n" ''
refuses part 'a line without a reason'
results '' "$two"
lists '' "2\t$name\tendless\n"
passes all 'an endless change'
lists '' ''
refuses part 'an endless change that is not listed'
