#!/usr/bin/env bash
# Checks the layout of the code, so that reviews need not be about it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
