#!/usr/bin/env bash
# The checks that take too long for every push: larger models, more threads under loom, bugs seeded in `locket run` and in the
# code for Windows, servers and hosts that fail, the packages of a release. Run before a release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo test --release --package locket-model -- --ignored
cargo test --release --package locket-interleavings -- --ignored --nocapture
ci/run-seeded.sh
ci/windows-seeded.sh
ci/network.sh deep
ci/flock-scripts.sh
ci/package/crate.sh
ci/package/check.sh
ci/fresh.sh
