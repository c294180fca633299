#!/usr/bin/env bash
# Boots User-Mode Linux on an overlay over this machine's /, which is discarded at the end, and runs guest.sh in it.
#
#   ci/network/boot.sh DIRECTORY LOCKET MODE
set -euo pipefail
place=$(realpath -m "$1") locket=$(realpath "$2") mode=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$place/packages

if [[ ! -e $place/packages.complete ]]; then
    rm -rf "$root" "$place/debs"
    mkdir -p "$root" "$place/debs"
    packages=(user-mode-linux busybox-static iproute2 libbpf1 libelf1 libmnl0 libxtables12 libcap2
        nfs-kernel-server nfs-common rpcbind libnfsidmap1 libwrap0 keyutils libtirpc3 libtirpc-common libevent-core-2.1-7
        libsqlite3-0 samba samba-common samba-common-bin samba-libs libldb2 liblmdb0 libpopt0 libtalloc2 libtdb1
        libtevent0 libwbclient0 libbsd0 libmd0 libcups2 libavahi-client3 libavahi-common3 libdbus-1-3 libjansson4 libicu72
        libarchive13 libcap-ng0 libkeyutils1 libpam0g libpython3.11 python3.11-minimal cifs-utils)
    download() { (cd "$place/debs" && apt-get download -qq "${packages[@]}"); }
    # The package lists of a fresh machine are empty. Those of an old machine name versions that the mirror has deleted.
    download 2>/dev/null || { apt-get update -qq && download; }
    for package in "$place"/debs/*.deb; do dpkg -x "$package" "$root"; done
    # Debian's /bin, /sbin and /lib are links to those of /usr; a package unpacked by hand makes directories.
    for directory in bin sbin lib lib64; do
        [[ ! -d $root/$directory || -L $root/$directory ]] || {
            mkdir -p "$root/usr/$directory"
            cp -a "$root/$directory/." "$root/usr/$directory/"
            rm -r "${root:?}/$directory"
        }
    done
    touch "$place/packages.complete"
fi

cat >"$place/init" <<INIT
#!$root/usr/bin/busybox sh
B=$root/usr/bin/busybox; K=\$(\$B uname -r); M=$root/usr/lib/uml/modules/\$K
\$B mount -t proc proc /proc; \$B mount -t tmpfs -o mode=755 m /mnt; \$B mkdir /mnt/a /mnt/b /mnt/up /mnt/root
# Two mounts: the layers of an overlay may not overlap.
\$B mount -r -t hostfs -o $root a /mnt/a; \$B mount -r -t hostfs -o / b /mnt/b
\$B mount -t tmpfs -o mode=755 up /mnt/up; \$B mkdir /mnt/up/up /mnt/up/work
\$B insmod \$M/kernel/fs/overlayfs/overlay.ko
\$B mount -t overlay -o lowerdir=/mnt/a:/mnt/b,upperdir=/mnt/up/up,workdir=/mnt/up/work o /mnt/root
cd /mnt/root; for d in proc sys dev run tmp lib/modules/\$K old $place $here $(dirname "$locket"); do \$B mkdir -p ./\$d; done
\$B mount -t proc p proc; \$B mount -t sysfs s sys; \$B mount -t devtmpfs d dev; \$B mount -t tmpfs r run; \$B mount -t tmpfs t tmp
\$B mount --bind \$M lib/modules/\$K
for d in $place $here $(dirname "$locket"); do \$B mkdir -p ./\$d; \$B mount -r -t hostfs -o \$d h ./\$d; done
# pivot_root and not chroot: nsenter -m would leave the chroot.
\$B pivot_root . old
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LOCKET=$locket LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/samba
/bin/bash $here/guest.sh $mode
busybox poweroff -f
INIT
chmod +x "$place/init"
# The memory of the guest is a file in TMPDIR.
TMPDIR=/dev/shm exec timeout "${LIMIT:-$([[ $mode == deep ]] && echo 1500 || echo 400)}" "$root/usr/bin/linux.uml" mem=512M rootfstype=hostfs \
    rootflags=/ ro "init=$place/init" con=null con0=null,fd:1 console=tty0 quiet panic=1 uml_dir="$place/" </dev/null
