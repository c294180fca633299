#!/usr/bin/env bash
# A warning that is let through hides the next one: neither the code nor its documentation may have any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo clippy --workspace --all-targets --all-features -- -D warnings
# As a program sees the library that depends on it: without a feature.
cargo clippy --package filelocket --lib --no-default-features -- -D warnings
# What is published is the library and its command: packed, and built from what was packed.
cargo publish --workspace --dry-run --quiet --allow-dirty
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features --document-private-items
