#!/usr/bin/env bash
# Is everything that a newcomer needs in README, and everything that the gate needs in its own scripts? This makes a
# Debian root with Rust and nothing else in it, and runs README's commands and the gate there, in a fresh clone.
#
#   ci/fresh.sh [DIRECTORY]     root only; the commit that is checked out. DIRECTORY (target/fresh if not given) needs about
#                               10 GB: `base`, which is kept, and `root`, which is made anew each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place=$(realpath -m "${1:-target/fresh}")
base=$place/base root=$place/root
mkdir -p "$place"

ci/debian-root.sh "$base" "$(. /etc/os-release && echo "$VERSION_CODENAME")"
rm -rf "$root"
cp -a "$base" "$root"

# The network as this machine has it: names, certificates, where packages come from. Nothing else of the machine.
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
# What is installed for other systems is not there on a fresh machine.
for target in $(rustup target list --installed); do
    [[ $target == "$(rustc -vV | sed -n 's/^host: //p')" ]] ||
        RUSTUP_HOME=$root/root/.rustup rustup target remove "$target" >/dev/null 2>&1
done
git clone --quiet . "$root/root/locket"

cat >"$root/root/newcomer.sh" <<'NEWCOMER'
set -euo pipefail
cd /root/locket
step() {
    local start=$SECONDS
    echo "==> $*"
    "$@"
    echo "<== took $((SECONDS - start)) s"
}
# As README says it.
grep -oE 'apt install [a-z0-9 -]+' README.md | head -n 1 | sed 's/^apt /apt-get -qq -y --no-install-recommends /' >/root/install
step apt-get update -qq
step bash -c "$(cat /root/install) >/dev/null 2>&1"
step cargo run --example quickstart 2>&1 | tee /root/quickstart.log
# The example is not to cost the compilation of what only tests need.
crates=$(grep -c '^ *Compiling' /root/quickstart.log)
((crates <= 20)) || { echo "the quickstart compiles $crates crates" >&2; exit 1; }
step cargo test --features stress 2>&1 | tee /root/test.log
grep -xE '[0-9]+ checks? skipped.*' /root/test.log
step bash .ci/run
NEWCOMER

# A root of its own, and not a chroot: with that, / would be no mount point, which no real machine has.
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
exec bash /root/newcomer.sh
ENTER
env -i PATH=/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb CI=true \
    $(env | grep -E '^(https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY|[A-Z_]*_CA_BUNDLE|SSL_CERT_(FILE|DIR)|PIP_CERT)=' || true) \
    unshare --mount --propagation private bash "$root/root/enter.sh" "$root" </dev/null
echo "fresh: README's commands and the gate passed on a Debian root with nothing but Rust"
