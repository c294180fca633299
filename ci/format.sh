#!/usr/bin/env bash
# Reviews are about what the code says, so how it is laid out is settled by a machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
