#!/usr/bin/env bash
# A benchmark that no longer runs measures nothing: each is run for a moment, and no time is judged.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOCKET_BENCH_PYTHON="$PWD/target/python/bin/python" cargo bench --benches -- --quick
