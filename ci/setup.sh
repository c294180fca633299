#!/usr/bin/env bash
# Installs on a fresh Debian machine, as root, what the gate uses beside Rust: a C compiler, strace, the locks of other
# programs, file systems, the readers of manual pages, and programs that start others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A packages=([strace]=strace [flock]=util-linux [script]=bsdutils [setsid]=util-linux [mount]=mount
    [ps]=procps [gcc]=gcc [mkfs.ext4]=e2fsprogs [mkfs.btrfs]=btrfs-progs [mkfs.xfs]=xfsprogs
    [make]=make [pgrep]=procps [ssh]=openssh-client [sudo]=sudo [tmux]=tmux [systemctl]=systemd
    [groff]=groff-base [mandoc]=mandoc [git]=git)
missing=()
for tool in "${!packages[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${packages[$tool]}")
done
# gcc links only with the files of libc6-dev, which its package merely recommends.
echo 'int main(void) { return 0; }' | gcc -x c -o /dev/null - 2>/dev/null || missing+=(libc6-dev)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
if ((${#missing[@]})); then
    # The package lists of a fresh machine are empty.
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# Python's locket, which is the reference, and filelock: the tests and benchmarks compare Locket with both.
python=target/python
if ! "$python/bin/python" -c 'import locket, filelock' 2>/dev/null; then
    python3 -m venv --clear "$python"
    "$python/bin/python" -m pip install --quiet --disable-pip-version-check locket==1.0.0 filelock
fi

rustup component list --installed 2>/dev/null | grep -q '^clippy' || rustup component add clippy
rustup component list --installed 2>/dev/null | grep -q '^rustfmt' || rustup component add rustfmt
