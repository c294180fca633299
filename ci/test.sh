#!/usr/bin/env bash
# Readers are told one command to convince themselves by: it must be the one that is run here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command='cargo test --features stress'
grep -qxF "$command" README.md || { echo "README.md does not say: $command" >&2; exit 1; }

# Here everything that the tests need is installed: one that is skipped has failed.
LOCKET_NO_SKIP=1 $command
