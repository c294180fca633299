#!/usr/bin/env bash
# Runs the tests by the one command that README gives to readers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command='cargo test --features stress'
grep -qxF "$command" README.md || { echo "README.md does not say: $command" >&2; exit 1; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# ci/setup.sh has installed everything that the tests need, so a skipped test is a failure. All test programs run, even after
# one has failed.
LOCKET_NO_SKIP=1 $command --no-fail-fast 2>&1 | tee "$log"

# Cargo prints the tests of the documentation after the summary. The summary is printed again as the last line.
grep -xE '[0-9]+ checks? skipped.*' "$log" | tail -n 1 | grep -x '0 checks skipped'
