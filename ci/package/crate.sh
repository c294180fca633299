#!/usr/bin/env bash
# Does the packed crate stand by itself? It is unpacked outside of the workspace, and its command, examples, tests and
# documentation are built there, and in a Debian root with the oldest Rust that Cargo.toml promises.
#
#   ci/package/crate.sh     the Debian root needs root's rights; it stays in target/debian
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED crate: $*" >&2
    exit 1
}

version=$(cargo pkgid --package filelocket | sed 's/.*[#@]//')
cargo package --package filelocket --allow-dirty --no-verify --quiet 2>/dev/null
packed=$here/target/package/filelocket-$version.crate
tar -xzf "$packed" -C "$work"
crate=$work/filelocket-$version
cd "$crate"

# What it needs, and no more.
needed='src/.*\.rs|examples/quickstart\.rs|docs/[a-z-]+\.md|(README|CHANGELOG)\.md|LICENSE-(MIT|APACHE)|'
needed+='Cargo\.(toml|toml\.orig|lock)|\.cargo_vcs_info\.json'
others=$(find . -type f -printf '%P\n' | grep -vxE "$needed" || true)
[[ -z $others ]] || fail "these files are not needed: $others"

# A warning fails too: Cargo warns of a manifest that names what is not in the crate.
export CARGO_TARGET_DIR=$work/target RUSTDOCFLAGS='-D warnings'
quiet() {
    "$@" >"$work/said" 2>&1 && ! grep -E '^(warning|error)' "$work/said" || fail "$*: $(cat "$work/said")"
}
quiet cargo build --locked --features cli
quiet cargo test --locked --features cli
grep -q '^test result: ok. [1-9]' "$work/said" || fail "no test ran: $(cat "$work/said")"
quiet cargo doc --locked --no-deps --lib
quiet cargo install --locked --debug --path . --features cli --root "$work/installed" --no-track --config 'term.quiet=true'
[[ $(ls "$work/installed/bin") == locket ]] || fail "cargo install brings: $(ls "$work/installed/bin")"
# Without the feature there is no command, and Cargo says what is missing.
cargo install --locked --debug --path . --root "$work/none" >"$work/said" 2>&1 || true
grep -q 'cli' "$work/said" || fail "cargo install does not tell of the feature: $(cat "$work/said")"
[[ ! -e $work/none/bin/locket ]] || fail "cargo install without the feature brings a command"
echo "crate: $(stat -c %s "$packed") bytes packed, $(find . -type f | wc -l) files: builds, tests and installs by itself"

skipped() {
    echo "SKIPPED crate: $*: the oldest Rust was not tried"
    exit 0
}
((UID == 0)) || skipped "root is needed"
command -v apt-get >/dev/null || skipped "Debian is needed"
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
root=$here/target/debian/rust
# Of Debian's releases this is the one with Rust 1.85.
"$here/ci/debian-root.sh" "$root" trixie cargo gcc libc6-dev
found=$(chroot "$root" rustc --version | cut -d' ' -f2)
[[ $found == "$oldest".* ]] || fail "Debian has Rust $found, and Cargo.toml promises $oldest"

# The root has no network: what the crate depends on is brought.
rm -rf "$root/crate"
cp -a . "$root/crate"
cargo vendor --locked --quiet "$root/crate/vendor" >/dev/null
mkdir "$root/crate/.cargo"
cat >"$root/crate/.cargo/config.toml" <<'EOF'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "vendor"
EOF
chroot "$root" env -i PATH=/usr/bin:/bin HOME=/root sh -c '
    cd /crate && cargo build --quiet --offline --locked --features cli && cargo test --quiet --offline --locked --no-run &&
    target/debug/locket --version' || fail "Rust $found does not build the crate"
rm -rf "$root/crate"
echo "crate: Rust $found builds it, the oldest that Cargo.toml promises"
