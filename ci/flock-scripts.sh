#!/usr/bin/env bash
# Runs scripts of Debian that use flock(1), with locket as the first `flock` in PATH: each script gets its lock, is refused while another
# process holds it, and gets it again. Their packages are downloaded (apt-get), not installed. Usage: ci/flock-scripts.sh [LOCKET]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($#)) || cargo build --quiet --features cli
locket=$(realpath "${1:-target/debug/locket}")
packages=(backupninja byobu tlp xen-utils-common)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/bin" "$work/root" "$work/locks"
# Records each call: a script that ran another `flock` would show nothing.
cat >"$work/bin/flock" <<EOF
#!/bin/bash
echo "\$*" >>$work/asked
exec -a flock $locket "\$@"
EOF
chmod 755 "$work/bin/flock"
PATH=$work/bin:$PATH
download() { (cd "$work" && apt-get download -qq "${packages[@]}" >/dev/null); }
# The package lists of a fresh machine are empty. Those of an old machine name versions that the mirror has deleted.
download 2>/dev/null || { apt-get update -qq && download; }
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done

fail() {
    echo "FAILED $1" >&2
    exit 1
}
# check NAME LOCK COMMAND...: the command succeeds, fails while LOCK is held, and succeeds again.
check() {
    local name=$1 lock=$2
    shift 2
    : >"$work/asked"
    "$@" >"$work/said" 2>&1 || fail "$name: it fails: $(cat "$work/said")"
    [ -s "$work/asked" ] || fail "$name: it has not called flock"
    exec {held}>>"$lock"
    "$locket" lock "$held"
    # The script does not inherit the descriptor, with which it would have the lock.
    if "$@" {held}>&- >"$work/said" 2>&1; then fail "$name: it succeeds while the lock is held: $(cat "$work/said")"; fi
    exec {held}>&-
    "$@" >"$work/said" 2>&1 || fail "$name: it fails after the release"
    echo "ok $name: flock $(sort -u "$work/asked" | paste -sd';')"
}

# Each of these functions succeeds only if the command under the lock ran.
apt() {
    cat >"$work/apt.conf" <<EOF
APT::Periodic::Enable "0";
Dir::State "$work/apt";
EOF
    mkdir -p "$work/apt"
    # The script waits for the lock for an hour.
    APT_CONFIG=$work/apt.conf timeout -s TERM 3 /usr/lib/apt/apt.systemd.daily update
}

backupninja() {
    mkdir -p "$work/backup.d"
    chmod 770 "$work/backup.d"
    echo 'touch "'"$work"'/done"' >"$work/backup.d/10.sh"
    chmod 600 "$work/backup.d/10.sh"
    cat >"$work/backupninja.conf" <<EOF
configdirectory = $work/backup.d
scriptdirectory = $work/root/usr/share/backupninja
libdirectory = $work/root/usr/lib/backupninja
logfile = $work/backupninja.log
loglevel = 4
reportemail =
admingroup = root
usecolors = no
when = manual
EOF
    rm -f "$work/done"
    bash "$work/root/usr/sbin/backupninja" --now --conffile "$work/backupninja.conf"
    [ -e "$work/done" ]
}

byobu() {
    rm -f "$work/cache"
    printf '#!/bin/sh\necho Inst something\n' >"$work/bin/apt-get"
    chmod 755 "$work/bin/apt-get"
    (
        BYOBU_TEST='command -v'
        eval "$(sed -n '/^___update_cache/,/^}/p' "$work/root/usr/lib/byobu/updates_available")"
        ___update_cache "$work/cache"
        wait
    )
    # The script counts the lines that the command under the lock prints.
    grep -qx 1 "$work/cache"
}

tlp() (
    set +eu
    sed -i "s,^readonly LOCKFILE=.*,LOCKFILE=$work/locks/tlp," "$work/root/usr/share/tlp/tlp-func-base"
    . "$work/root/usr/share/tlp/tlp-func-base"
    lock_tlp check && lock_tlp_nb check
)

xen() (
    set +eu
    fatal() { exit 1; }
    . "$work/root/etc/xen/scripts/locking.sh"
    LOCK_BASEDIR=$work/locks
    export -f claim_lock release_lock _setlockfd fatal
    export LOCK_BASEDIR _lockdict _lockfd
    timeout 3 bash -c 'claim_lock check && echo claimed && release_lock check'
)

check apt "$work/apt/daily_lock" apt
check tlp "$work/locks/tlp_check" tlp
check xen "$work/locks/check" xen
check backupninja "/var/lock/backupninja/$(echo "$work/backup.d/10.sh" | sed 's,/,_,g')" backupninja
check byobu "$work/cache.lock" byobu
