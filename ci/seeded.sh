#!/usr/bin/env bash
# Would the tests notice? Seeds one bug after another in a copy of the tree, and expects the named test to fail.
#
#   ci/seeded.sh LIST [NAME]...
#
# A list is a file in ci/seeded that sets `title` and, if its bugs are described in a table, `described_in`; and defines
#
#   program_of TEST     prints cargo's option for the program of a test, and the test's name in it
#   build OPTION        compiles that program
#   run OPTION NAME     runs that test alone; a test that hangs has to fail
#   seeds               calls `seed NAME TEST FILE FROM TO` for each bug: in the file the one text stands, once, and the
#                       other is put in its place
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=$1
chosen=("${@:2}")
source "ci/seeded/$list.sh"
# Wine has one already.
[[ -n ${scratch:-} ]] || { scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT; }

# Not in the tree itself: after an interruption a bug must not stay there.
tree=$PWD/target/$list-seeded/tree
export CARGO_TARGET_DIR=$PWD/target/$list-seeded/build
rm -rf "$tree"
mkdir -p "$tree"
git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -t "$tree"
cd "$tree"

is_chosen() { [[ ${#chosen[@]} = 0 || " ${chosen[*]} " == *" $1 "* ]]; }

fail() { echo "ci/seeded.sh: $list: $1" >&2; exit 1; }

# passes TEST
passes() {
    local option name status=0
    read -r option name <<<"$(program_of "$1")"
    build "$option" >"$scratch/build" 2>&1 || { cat "$scratch/build" >&2; fail "$1 does not compile"; }
    run "$option" "$name" </dev/null >"$scratch/run" 2>&1 || status=$?
    grep -q '^running 1 test' "$scratch/run" || { cat "$scratch/run" >&2; fail "no such test: $1"; }
    return "$status"
}

# A list that is wrong is found before anything is built.
check() {
    local name=$1 test=$2 file=$3 from=$4 text rest
    is_chosen "$name" || return 0
    text=$(<"$file")
    rest=${text//"$from"/}
    ((${#text} - ${#rest} == ${#from})) || fail "$name: not there exactly once: $from"
    [[ -z ${described_in:-} ]] || grep -qF "| $name | \`${test#*::}\`" "$described_in" || fail "$described_in lacks $name"
    needed[$test]=
}

plant() {
    local name=$1 test=$2 file=$3 from=$4 to=$5 text start=$SECONDS
    is_chosen "$name" || return 0
    text=$(<"$file")
    printf '%s\n' "${text/"$from"/"$to"}" >"$file"
    if passes "$test"; then
        acquitted+=("$name")
        echo "ACQUITTED $name, by $test"
    else
        echo "caught $name, by $test ($((SECONDS - start)) s)"
    fi
    printf '%s\n' "$text" >"$file"
    seeded=$((seeded + 1))
}

declare -A needed=()
seeded=0
acquitted=()

seed() { check "$@"; }
seeds
# Once for all bugs: without any of them each test passes.
for test in "${!needed[@]}"; do
    passes "$test" || { cat "$scratch/run" >&2; fail "$test fails without a bug"; }
done
seed() { plant "$@"; }
seeds

echo "$title: $seeded seeded bugs, ${#acquitted[@]} of them not caught."
((seeded > 0 && ${#acquitted[@]} == 0))
