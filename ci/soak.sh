#!/usr/bin/env bash
# A race that shows once in a hundred runs is a race: the long tests run again and again, on a machine that is busy with other things.
#
#   ci/soak.sh [RUNS]          50 if not said, which takes about an hour on two processors
#
# LOCKET_SOAK_LOAD: busy loops beside them, as many as processors if not set; LOCKET_STRESS: seconds of each free-running part, 3 if not set;
# LOCKET_SOAK_LOG: a directory for the logs of the runs that failed.
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

# What all runs came to: the numbers before these words, added up.
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
    # A run in which something was left out is green, but less so.
    grep SKIPPED "$scratch/log" || true
    echo "soak: $green of $run runs green, beside $load busy loops; $(sum calls), $(sum holds), $(sum killed), $(sum forked)"
done
((green == runs))
