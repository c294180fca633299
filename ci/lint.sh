#!/usr/bin/env bash
# The linters. Neither the code nor its documentation has a warning: one that is ignored hides the next.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ci/words-test.sh
ci/words.sh
ci/mutants/test.sh
cargo clippy --workspace --all-targets --all-features -- -D warnings
# The library as a program that depends on it compiles it: without a feature.
cargo clippy --package filelocket --lib --no-default-features -- -D warnings
# The published package: the library and its command, packed, and built from the package.
cargo publish --workspace --dry-run --quiet --allow-dirty
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features --document-private-items
