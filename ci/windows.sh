#!/usr/bin/env bash
# Builds Locket for Windows and runs its tests under Wine, on any Debian machine.
#
#   ci/windows.sh [ARGUMENTS FOR cargo test]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source ci/wine.sh

windows_cargo test --no-fail-fast "$@" 2>&1 | tee "$scratch/log"

# Checks that Wine cannot run are skipped by name and run on real Windows. No other check may be skipped.
if grep '^SKIPPED' "$scratch/log" | grep -v ': real Windows only: ' >"$scratch/skipped"; then
    sed "s|^|$0: |" "$scratch/skipped" >&2
    exit 1
fi
awk '/^test result: ok/ { passed += $4 } /^SKIPPED/ { left++ } END {
    printf "Windows: %d tests passed under Wine, %d checks are left to real Windows.\n", passed, left
    exit passed == 0 }' "$scratch/log"
