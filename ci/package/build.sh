#!/usr/bin/env bash
# Makes the packages of a release from the tree that this stands in, for this machine's processor: an archive with a static
# binary, and a package for Debian with the same binary. Nothing is installed but Rust's target for musl. The same commit and
# the same Rust give the same bytes, wherever it is built.
#
#   ci/package/build.sh [DIRECTORY]     target/packages if not given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 022
export LC_ALL=C TZ=UTC

command -v python3 >/dev/null || { echo "ci/package/build.sh: python3 is needed: apt install python3" >&2; exit 1; }

tree=$PWD
out=$(realpath -m "${1:-target/packages}")
target=$(uname -m)-unknown-linux-musl
grep -qx "$target" <<<"$(rustup target list --installed)" || rustup target add "$target"
# The date of everything that has one (reproducible-builds.org/specs/source-date-epoch).
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

field() {
    cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
metadata = json.load(sys.stdin)
package = next(it for it in metadata["packages"] if it["name"] == "filelocket")
print(package.get(sys.argv[1]) or metadata["metadata"]["release"].get(sys.argv[1]) or "")' "$1"
}
version=$(field version)

# A panic names the file that it is in: not where this tree and Cargo's registry are on this machine.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
RUSTFLAGS="--remap-path-prefix=$tree=locket" CARGO_PROFILE_RELEASE_STRIP=true
for index in "$registry"/*; do RUSTFLAGS+=" --remap-path-prefix=$index=crates"; done
export RUSTFLAGS CARGO_PROFILE_RELEASE_STRIP
cargo build --quiet --release --locked --package filelocket --features cli --bin locket --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/release/locket

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rm -rf "$out"
mkdir -p "$out"

# What both have.
"$binary" man --install="$stage/man" >/dev/null
ci/package/third-party.py "$target" >"$stage/third-party"

archive=locket-$version-$target
root=$stage/$archive
install -Dm755 -t "$root" "$binary"
install -Dm644 -t "$root/man/man1" "$stage"/man/man1/*
install -Dm644 -t "$root/docs" docs/*.md
install -Dm644 -t "$root" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE
install -Dm644 "$stage/third-party" "$root/LICENSES-THIRD-PARTY"
install -d "$root/completions"
"$binary" completions bash >"$root/completions/locket.bash"
"$binary" completions zsh >"$root/completions/_locket"
"$binary" completions fish >"$root/completions/locket.fish"
"$binary" completions elvish >"$root/completions/locket.elv"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$stage" -c "$archive" |
    gzip -9n >"$out/$archive.tar.gz"

if command -v dpkg-deb >/dev/null; then
    VERSION=$version MAINTAINER=$(field maintainer) HOMEPAGE=$(field homepage) \
        ci/package/debian.sh "$root" "$out"
else
    echo "SKIPPED package: dpkg-deb is needed: the package for Debian was not made"
fi
(cd "$out" && sha256sum -- locket* | tee SHA256SUMS)
