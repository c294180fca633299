# Mounts each file system twice over one directory, and reports what excludes what. Called by fuse.sh in a mount namespace of its own.
set -uo pipefail
mount -t tmpfs tmpfs "$ROOT"
cd "$ROOT"

attempt() { # FILE
    timeout -s KILL 15 "$LOCKET" run -qn "$1" -- true 2>/dev/null
    case $? in
        0) echo "both in" ;;
        75) echo excluded ;;
        *) echo "code $?" ;;
    esac
}
report() { # NAME FIRST SECOND DIRECTORY: the mounts, and the directory below them or -
    local name=$1 first=$2/file.lock second=$3/file.lock below=$4/file.lock start took code
    rm -f held
    "$LOCKET" run -q "$first" -- sh -c 'echo $$ >held; exec sleep 100' 2>/dev/null &
    disown
    for _ in {1..300}; do [[ ! -s held ]] || break; sleep 0.1; done
    [[ -s held ]] || { echo "$name cannot-be-locked"; return; }
    echo "$name one-mount $(attempt "$first")"
    echo "$name two-mounts $(attempt "$second")"
    [[ $4 == - ]] || echo "$name below-the-mount $(attempt "$below")"
    start=$EPOCHREALTIME
    timeout -s KILL 20 "$LOCKET" run -q -w 0.5 "$first" -- true 2>/dev/null
    code=$?
    took=$(awk "BEGIN { took = $EPOCHREALTIME - $start; print took < 0.5 ? \"too early\" : took < 8 ? \"in time\" : \"late\" }")
    echo "$name timeout code $code $took"
    kill -9 "$(cat held)"
    for _ in {1..100}; do "$LOCKET" wait -qn "$first" 2>/dev/null && break; sleep 0.1; done
    echo "$name status-when-free $("$LOCKET" status "$first" 2>&1 | sed -n '1s/.*: //p')"
}
pair() { # NAME COMMAND...: mounts `below` on `one` and on `two`
    local name=$1
    shift
    mkdir -p $name/below $name/one $name/two
    : >$name/below/file.lock
    for mount in one two; do
        if ! (cd $name && "$@" $mount) >$name/log 2>&1; then
            echo "$name does-not-mount $(tail -n 1 $name/log)"
            return
        fi
        for _ in {1..100}; do mountpoint -q $name/$mount && break; sleep 0.1; done
    done
    report $name $name/one $name/two $name/below
    umount -l $name/one $name/two
}

pair bind mount --bind below
pair bindfs bindfs below
pair bindfs-with-locks bindfs --multithreaded --enable-lock-forwarding below
printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >sftp
chmod +x sftp
pair sshfs sshfs -o ssh_command="$ROOT/sftp" "host:$ROOT/sshfs/below"
pair mergerfs mergerfs below
pair unionfs unionfs below
pair rclone rclone mount --daemon --vfs-cache-mode writes below
pair fuse-overlayfs sh -c 'mkdir -p up.$0 work.$0; fuse-overlayfs -o lowerdir=below,upperdir=up.$0,workdir=work.$0 $0'
pair overlay sh -c 'mkdir -p up.$0 work.$0; mount -t overlay -o lowerdir=below,upperdir=up.$0,workdir=work.$0 o $0'

mkdir -p gocryptfs/below gocryptfs/one gocryptfs/two
if gocryptfs -q -init -extpass "echo pw" gocryptfs/below >/dev/null &&
    gocryptfs -q -nosyslog -extpass "echo pw" gocryptfs/below gocryptfs/one && : >gocryptfs/one/file.lock &&
    gocryptfs -q -nosyslog -extpass "echo pw" gocryptfs/below gocryptfs/two; then
    report gocryptfs gocryptfs/one gocryptfs/two -
    umount -l gocryptfs/one gocryptfs/two
else
    echo "gocryptfs does-not-mount"
fi
