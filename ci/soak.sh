#!/usr/bin/env bash
# Finds races that show once in many runs: runs the long tests again and again, beside busy loops.
#
#   ci/soak.sh [RUNS]          50 by default, which takes about an hour on two processors
#
# LOCKET_SOAK_LOAD: the number of busy loops, by default one for each processor. LOCKET_STRESS: the seconds of each free-running
# part, by default 3. LOCKET_SOAK_LOG: a directory for the logs of the runs that failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-50}
load=${LOCKET_SOAK_LOAD:-$(nproc)}
tests=(stress hostile wait laws)
export LOCKET_STRESS=${LOCKET_STRESS:-3}
cargo build --features stress "${tests[@]/#/--test=}"

scratch=$(mktemp -d)
busy=()
for ((n = 0; n < load; n++)); do
    (while :; do :; done) &
    busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

# Adds up the numbers that stand before a word in the counts of all runs.
sum() {
    sed -nE "s/.* ([0-9]+) $1.*/\1/p" "$scratch/counts" | awk '{ all += $1 } END { printf "%d %s", all, word }' word="$1"
}

green=0
touch "$scratch/counts"
for ((run = 1; run <= runs; run++)); do
    if cargo test --quiet --features stress "${tests[@]/#/--test=}" >"$scratch/log" 2>&1; then
        green=$((green + 1))
        grep -oE '(free running|moving file|the command): .* (calls|alone).*' "$scratch/log" | tee -a "$scratch/counts"
    else
        cat "$scratch/log"
        [[ -z ${LOCKET_SOAK_LOG:-} ]] || cp "$scratch/log" "$LOCKET_SOAK_LOG/run-$run.log"
    fi
    # A skipped check does not fail a run. Its name is printed.
    grep SKIPPED "$scratch/log" || true
    echo "soak: $green of $run runs green, beside $load busy loops; $(sum calls), $(sum holds), $(sum killed), $(sum forked)"
done
((green == runs))
