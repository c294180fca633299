#!/usr/bin/env bash
# Is everything ready that a release needs? Names all that is missing, and publishes nothing. docs/packaging.md has the steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=0
need() {
    echo "NOT READY: $*" >&2
    missing=$((missing + 1))
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for field in repository homepage maintainer; do
    ! grep -qx "$field = \"\"" Cargo.toml || need "$field is not filled in Cargo.toml"
done
grep -qF "filelocket = { path = \".\", version = \"$version\" }" Cargo.toml ||
    need "Cargo.toml: [workspace.dependencies] names another version of filelocket than $version"
grep -qxE "## \[?${version//./\\.}\]? - [0-9]{4}-[0-9]{2}-[0-9]{2}" CHANGELOG.md || need "CHANGELOG.md has no section '## $version - DATE'"
[[ -z $(git status --porcelain) ]] || need "the tree has changes that are not committed"
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || need "the tag v$version is there already"
# Cargo's own checks: it packs the crate and builds it from what was packed.
cargo publish --workspace --dry-run --quiet --locked --allow-dirty || need "cargo publish --workspace --dry-run fails"

((missing == 0)) || { echo "release: $version is not ready, $missing things are missing" >&2; exit 1; }
echo "release: $version is ready; docs/packaging.md says what to do next"
