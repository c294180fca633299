#!/usr/bin/env bash
# Readers are told one command to convince themselves by: it must be the one that is run here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command='cargo test --features stress'
grep -qxF "$command" README.md || { echo "README.md does not say: $command" >&2; exit 1; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Here everything that the tests need is installed: one that is skipped has failed. One failing program does not
# hide what the others find.
LOCKET_NO_SKIP=1 $command --no-fail-fast 2>&1 | tee "$log"

# Cargo prints the tests of the documentation after the summary: here it is the last line.
grep -xE '[0-9]+ checks? skipped.*' "$log" | tail -n 1 | grep -x '0 checks skipped'
