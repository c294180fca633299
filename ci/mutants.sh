#!/usr/bin/env bash
# Changes the library in one small place after another (`cargo mutants`), and expects that a test fails each time.
#
#   ci/mutants.sh diff [BASE]      the changes of lines that differ from BASE: by default from the commit in ci/mutants/base, or, if
#                                  that is not in this clone, from the commit before. At most LOCKET_MUTANTS of them (by default
#                                  25), spread evenly.
#   ci/mutants.sh all [SHARD/OF]   all, or a part of them. A call that was interrupted is continued by the same call. Takes hours;
#                                  the results are in target/mutants.
#
# What no test notices has to stand in ci/mutants/equivalent.txt with its reason, and what makes a test wait without end in
# ci/mutants/endless.txt. ci/mutants/compare.sh checks both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo-mutants >/dev/null || cargo install --quiet --locked cargo-mutants@27.1.0
command -v cargo-nextest >/dev/null || cargo install --quiet --locked cargo-nextest@0.9.143

# In a container the tree may belong to another user.
git() { command git -c safe.directory="$PWD" "$@"; }

output=target/mutants
mkdir -p "$output"
# Without a change the tests pass. cargo-mutants would look for them in the library's package alone.
baseline() { cargo nextest run --cargo-profile mutants --package filelocket --package locket-tests --lib --test laws --test wait; }
# Exit codes: 2 for missed changes and 3 for endless tests are judged by compare.sh; others are failures.
mutants() {
    local status=0
    cargo mutants --package filelocket --output "$output" --baseline skip --timeout 150 --no-times --colors never "$@" || status=$?
    [[ $status = [023] ]] || exit "$status"
}

case ${1:-} in
diff)
    if [[ $# -gt 1 ]]; then
        base=$2
    else
        base=$(grep -v '^#' ci/mutants/base)
        git merge-base --is-ancestor "$base" HEAD 2>/dev/null || base=$(git rev-parse --verify --quiet HEAD~1 || true)
        [[ -n $base ]] || { echo "0 changes tried: there is no earlier commit to compare with"; exit 0; }
    fi
    rm -rf "$output/mutants.out" "$output/mutants.out.old"
    git diff "$base" -- src >"$output/diff"
    [[ -s $output/diff ]] || { echo "0 changes tried: src does not differ from $base"; exit 0; }
    count=$(cargo mutants --package filelocket --list --in-diff "$output/diff" 2>/dev/null | wc -l)
    ((count > 0)) || { echo "0 changes tried: nothing that can be changed differs from $base"; exit 0; }
    limit=${LOCKET_MUTANTS:-25}
    parts=$(((count + limit - 1) / limit))
    baseline
    mutants --in-diff "$output/diff" --shard "0/$parts" --sharding round-robin
    ci/mutants/compare.sh "$output/mutants.out" part
    ((parts == 1)) || echo "NOT TRIED: about $((count - count / parts)) of $count changes. ci/deep.sh tries all."
    ;;
all)
    baseline
    mutants --iterate ${2:+--shard "$2" --sharding round-robin}
    ci/mutants/compare.sh "$output/mutants.out" "$([[ -n ${2:-} ]] && echo part || echo all)"
    ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 64
    ;;
esac
