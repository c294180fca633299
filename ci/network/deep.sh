# The checks that take longer: a server that restarts, a host that is cut off, two hosts with the same name, statd killed. Sourced
# by guest.sh with the argument deep.

# The server restarts while A holds the lock: A still holds it, and B does not get it.
restart() { # FS
    local file=/mnt/$1/$1.restart
    hold A $file
    rpc.nfsd 0
    sleep 1
    rpc.nfsd -G 10 -L 10 2
    result "$1 server-restarted $(attempt B $file -w 25)"
    end_hold "$trace"
    sleep 1
    until_it 60 on B timeout -s KILL 10 "$LOCKET" run -qn $file -- true && result "$1 after-the-restart free" || result "$1 after-the-restart never free"
}

# A is cut off for longer than the lease (10 s here): B gets the lock while A's process still runs.
cut_off() { # FS
    local file=/mnt/$1/$1.cut
    hold A $file
    ip link set vA down
    result "$1 cut-off-beyond-the-lease $(attempt B $file -w 60)"
    ip link set vA up
    end_hold "$trace"
}

# C mounts the file system with the host name of A.
one_name() {
    local file=/mnt/nfs4/nfs4.name
    on C sh -c "umount -l /mnt/nfs4; hostname hostA; mount -t nfs -o retry=0,vers=4.2 10.0.3.1:/ /mnt/nfs4" || note "C: no second mount"
    hold A $file
    result "nfs4 two-hosts-of-one-name $(attempt C $file)"
    end_hold "$trace"
    on C sh -c "umount -l /mnt/nfs4; hostname hostC; mount -t nfs -o retry=0,vers=4.2 10.0.3.1:/ /mnt/nfs4" || note "C: no third mount"
}

# NFS 3 uses statd to report restarts (rpc.statd(8)). Without it a held lock stays held, and a free one is granted.
without_statd() {
    local file=/mnt/nfs3/nfs3.statd
    hold A $file
    pkill rpc.statd || note "no statd to kill"
    result "nfs3 without-statd $(attempt B $file)"
    end_hold "$trace"
    result "nfs3 without-statd-and-free $(attempt B $file -w 10 | sed 's/^both in$/granted/')"
}

for fs in nfs4 nfs3; do restart $fs; note "$fs: restarted"; done
cut_off nfs4
note "cut off"
one_name
without_statd
