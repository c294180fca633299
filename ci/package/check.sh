#!/usr/bin/env bash
# The packages of a release, of the commit that is checked out: built twice in two places, which gives the same bytes; read by
# lintian; installed in a fresh Debian root, used, and purged.
#
#   ci/package/check.sh     as root on Debian; the roots stay in target/debian, the packages in target/packages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here=$PWD
packages=$here/target/packages
skipped() {
    echo "SKIPPED package: $*: the packages were neither built nor tried"
    exit 0
}
((UID == 0)) || skipped "root is needed"
command -v apt-get >/dev/null || skipped "Debian is needed"
command -v lintian >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends lintian >/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
commit=$(git rev-parse HEAD)
for clone in "$work/first" "$work/a/longer/path/to/the/second"; do
    git clone --quiet --no-checkout . "$clone"
    git -C "$clone" checkout --quiet --detach "$commit"
    env --unset=CARGO_TARGET_DIR "$clone/ci/package/build.sh" "$work/$(basename "$clone").out"
done
diff -r "$work/first.out" "$work/second.out"
rm -rf "$packages"
mv "$work/first.out" "$packages"
echo "package: two builds in two places gave the same bytes"

lintian --allow-root --fail-on error,warning "$packages"/*.deb
echo "package: lintian has nothing to say"

mkdir "$work/archive"
tar -xzf "$packages"/locket-*.tar.gz -C "$work/archive" --strip-components=1
"$work/archive/locket" run "$work/x.lock" -- true
grep -q 'serde_json' "$work/archive/LICENSES-THIRD-PARTY"
echo "package: the archive's locket runs; its files: $(cd "$work/archive" && find . -type f | wc -l)"

base=$here/target/debian/package
ci/debian-root.sh "$base" "$(. /etc/os-release && echo "$VERSION_CODENAME")" man-db bash-completion bsdextrautils zsh fish
root=$work/root
cp -a "$base" "$root"
cp "$packages"/*.deb "$root/locket.deb"
cp ci/package/installed.sh "$root/installed.sh"
unshare --mount --pid --fork --propagation private bash -c '
    mount -t proc proc "$0/proc" && exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb bash /installed.sh' "$root" </dev/null
