#!/usr/bin/env bash
# The checks that take too long for every push, for a release: larger models, more threads under loom, bugs seeded in `locket run`,
# in the parsers and in the code for Windows, sanitizers, fuzzers, servers and hosts that fail, the packages, a bare Debian root,
# and last all mutants, for hours. Each step runs, also after one that failed; a step without its tools says SKIPPED.
#
#   ci/deep.sh [STEP]...     all steps by default, or those whose command begins so: ci/deep.sh "ci/fuzz.sh"
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=(
    'cargo test --release --package locket-model -- --ignored'
    'cargo test --release --package locket-interleavings -- --ignored --nocapture'
    'ci/run-seeded.sh'
    'ci/seeded.sh fuzz'
    'ci/windows-seeded.sh'
    'ci/sanitizers.sh'
    'ci/fuzz.sh 600'
    'ci/network.sh deep'
    'ci/flock-scripts.sh'
    'ci/package/crate.sh'
    'ci/package/check.sh'
    'ci/fresh.sh'
    'ci/mutants.sh all'
)
mkdir -p target/deep
failed=()
for step in "${steps[@]}"; do
    chosen=$((!$#))
    for choice in "$@"; do [[ $step != "$choice"* ]] || chosen=1; done
    ((chosen)) || continue
    start=$SECONDS
    log=target/deep/${step//[^a-z]/-}.log
    echo "==> $step"
    if $step >"$log" 2>&1; then result=passed; else result=FAILED failed+=("$step"); fi
    grep -a SKIPPED "$log" || true
    echo "<== $step: $result in $((SECONDS - start)) s ($log)"
done
if ((${#failed[@]})); then
    printf 'ci/deep.sh: %s of the steps failed:\n' "${#failed[@]}" && printf '  %s\n' "${failed[@]}"
    exit 1
fi
echo "ci/deep.sh: all steps passed in $SECONDS s"
