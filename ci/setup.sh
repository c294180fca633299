#!/usr/bin/env bash
# The tests talk to strangers (strace, Python's locks, flock(1), file systems, shells, roff): this installs them on a fresh Debian machine, as root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A packages=([strace]=strace [flock]=util-linux [script]=bsdutils [gcc]=gcc [mkfs.ext4]=e2fsprogs
    [mkfs.btrfs]=btrfs-progs [mkfs.xfs]=xfsprogs
    [zsh]=zsh [fish]=fish [groff]=groff-base [mandoc]=mandoc)
missing=()
for tool in "${!packages[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${packages[$tool]}")
done
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
if ((${#missing[@]})); then
    # The package lists of a fresh machine are empty.
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# The reference and the most used lock of its kind, at the versions that the tests were written against.
python=target/python
if ! "$python/bin/python" -c 'import locket, filelock' 2>/dev/null; then
    python3 -m venv --clear "$python"
    "$python/bin/python" -m pip install --quiet --disable-pip-version-check locket==1.0.0 filelock
fi

rustup component list --installed 2>/dev/null | grep -q '^clippy' || rustup component add clippy
rustup component list --installed 2>/dev/null | grep -q '^rustfmt' || rustup component add rustfmt
