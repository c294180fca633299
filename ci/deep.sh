#!/usr/bin/env bash
# The searches that take too long for every push: larger models and more threads under loom, run before a release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo test --release --package locket-model -- --ignored
cargo test --release --package locket-interleavings -- --ignored --nocapture
