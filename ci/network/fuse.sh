#!/usr/bin/env bash
# File systems in user space, and overlays: one directory is mounted twice, and a second process tries the lock through each mount.
#
#   ci/network/fuse.sh DIRECTORY LOCKET
set -euo pipefail
place=$(realpath -m "$1") locket=$(realpath "$2")
root=$place/fuse

if [[ ! -c /dev/fuse ]]; then
    echo "NOTE SKIPPED fuse: no /dev/fuse" >&2
    exit 0
fi
declare -A packages=([bindfs]=bindfs [sshfs]=sshfs [mergerfs]=mergerfs [unionfs]=unionfs-fuse [gocryptfs]=gocryptfs
    [fuse-overlayfs]=fuse-overlayfs [rclone]=rclone [fusermount3]=fuse3 [/usr/lib/openssh/sftp-server]=openssh-sftp-server)
missing=()
for tool in "${!packages[@]}"; do command -v "$tool" >/dev/null || missing+=("${packages[$tool]}"); done
if ((${#missing[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

export LOCKET=$locket ROOT=$root
rm -rf "$root"
mkdir -p "$root"
exec unshare --mount --propagation private bash "$(dirname "${BASH_SOURCE[0]}")/mounts.sh"
