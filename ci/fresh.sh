#!/usr/bin/env bash
# Checks that README names everything that its commands need, and that the gate installs everything that it needs: makes a Debian
# root with Rust and nothing else in it, and runs README's commands and the gate there, in a fresh clone.
#
#   ci/fresh.sh [DIRECTORY]     as root. Tests the commit that is checked out. DIRECTORY (by default target/fresh) needs about
#                               10 GB: `base` is kept, and `root` is made anew each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place=$(realpath -m "${1:-target/fresh}")
base=$place/base root=$place/root
mkdir -p "$place"

ci/debian-root.sh "$base" "$(. /etc/os-release && echo "$VERSION_CODENAME")"
rm -rf "$root"
cp -a "$base" "$root"

# Copies this machine's settings of the network: names, certificates, sources of packages. No other setting is copied.
# (The package ca-certificates writes /etc/ssl/certs anew, and takes the machine's own certificates from /usr/local.)
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs /usr/local/share/ca-certificates /etc/apt/apt.conf.d /etc/apt/sources.list /etc/apt/sources.list.d \
    /etc/apt/trusted.gpg.d; do
    [[ ! -e $file ]] || { mkdir -p "$root$(dirname "$file")"; cp -aLT "$file" "$root$file"; }
done
for file in /etc/pip.conf ~/.pip/pip.conf ~/.config/pip/pip.conf; do
    [[ ! -e $file ]] || cat "$file" >>"$root/etc/pip.conf"
done
cargo_home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$root/root/.cargo/bin" "$root/root/.rustup/toolchains"
for file in "$cargo_home"/config.toml "$cargo_home"/bin/{cargo,rustc,rustdoc,rustup,rustfmt,cargo-fmt,cargo-clippy,clippy-driver}; do
    [[ ! -e $file ]] || cp -a "$file" "$root/root/.cargo${file#"$cargo_home"}"
done
sysroot=$(rustc --print sysroot)
cp -a "$sysroot" "$root/root/.rustup/toolchains/"
cp -a "$(dirname "$(dirname "$sysroot")")/settings.toml" "$root/root/.rustup/"
# A fresh machine has no targets for other systems.
for target in $(rustup target list --installed); do
    [[ $target == "$(rustc -vV | sed -n 's/^host: //p')" ]] ||
        RUSTUP_HOME=$root/root/.rustup rustup target remove "$target" >/dev/null 2>&1
done
git clone --quiet . "$root/root/locket"

cat >"$root/root/commands.sh" <<'COMMANDS'
set -euo pipefail
cd /root/locket
step() {
    local start=$SECONDS
    echo "==> $*"
    "$@"
    echo "<== took $((SECONDS - start)) s"
}
# The command of README that installs packages.
grep -oE 'apt install [a-z0-9 -]+' README.md | head -n 1 | sed 's/^apt /apt-get -qq -y --no-install-recommends /' >/root/install
step apt-get update -qq
step bash -c "$(cat /root/install) >/dev/null 2>&1"
step cargo run --example quickstart 2>&1 | tee /root/quickstart.log
# Dependencies that only tests need must not be compiled for the example.
crates=$(grep -c '^ *Compiling' /root/quickstart.log)
((crates <= 20)) || { echo "the quickstart compiles $crates crates" >&2; exit 1; }
step cargo test --features stress 2>&1 | tee /root/test.log
grep -xE '[0-9]+ checks? skipped.*' /root/test.log
step bash .ci/run
COMMANDS

# pivot_root and not chroot: on a real machine / is a mount point, and in a chroot it would not be.
cat >"$root/root/enter.sh" <<'ENTER'
set -euo pipefail
root=$1
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mkdir -p old
pivot_root . old
cd /
umount -l old
rmdir old
exec bash /root/commands.sh
ENTER
env -i PATH=/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb CI=true \
    $(env | grep -E '^(https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY|[A-Z_]*_CA_BUNDLE|SSL_CERT_(FILE|DIR)|PIP_CERT)=' || true) \
    unshare --mount --propagation private bash "$root/root/enter.sh" "$root" </dev/null
echo "fresh: README's commands and the gate passed on a Debian root with nothing but Rust"
