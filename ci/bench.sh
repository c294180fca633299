#!/usr/bin/env bash
# Runs each benchmark for a moment, to see that all of them still run. No time is judged.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo bench --benches -- --quick
