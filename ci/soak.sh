#!/usr/bin/env bash
# A race that shows once in a hundred runs is a race: the long tests run again and again, on a machine that is busy with other things.
#
#   ci/soak.sh [RUNS]          50 if not said; LOCKET_SOAK_LOAD busy loops beside them, twice the processors if not set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-50}
load=${LOCKET_SOAK_LOAD:-$((2 * $(nproc)))}
tests=(stress crash_points faults nemeses interop command_stress)
if [[ -x target/python/bin/python ]]; then
    export LOCKET_PYTHON=${LOCKET_PYTHON:-$PWD/target/python/bin/python}
fi
cargo build --features stress "${tests[@]/#/--test=}"

scratch=$(mktemp -d)
busy=()
for ((n = 0; n < load; n++)); do
    (while :; do :; done) &
    busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

green=0
for ((run = 1; run <= runs; run++)); do
    if cargo test --quiet --features stress "${tests[@]/#/--test=}" >"$scratch/log" 2>&1; then
        green=$((green + 1))
        grep -oE '(free running|moving file|the command): .* (calls|alone).*' "$scratch/log"
    else
        cat "$scratch/log"
    fi
    # A run in which something was left out is green, but less so.
    grep SKIPPED "$scratch/log" || true
    echo "soak: $green of $run runs green, beside $load busy loops"
done
((green == runs))
