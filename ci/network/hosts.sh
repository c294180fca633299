# Starts the server, and three hosts in network and mount namespaces of their own. Sourced by guest.sh.

# The kernel calls modprobe for ciphers.
ln -sf busybox /usr/bin/modprobe
ln -sf ../bin/busybox /usr/sbin/modprobe
for module in veth nfsd nfs nfsv3 nfsv4 cifs md5 hmac cmac; do modprobe $module || note "no module $module"; done
# Host names without a name server, for which rpc.statd would wait 10 s each. The users that the packages' scripts would create.
: >/etc/resolv.conf
: >/etc/exports
printf 'hosts: files\npasswd: files\ngroup: files\n' >/etc/nsswitch.conf
printf '127.0.0.1 localhost\n10.0.1.1 srv\n10.0.2.1 srv2\n10.0.1.2 hostA\n10.0.2.2 hostB\n10.0.3.2 hostC\n' >/etc/hosts
# A fresh machine has no lists of services (netbase).
[[ -s /etc/rpc ]] || printf '%s\n' 'portmapper 100000' 'nfs 100003' 'mountd 100005' 'nlockmgr 100021' 'status 100024' >/etc/rpc
[[ -s /etc/services ]] || printf '%s\n' 'sunrpc 111/tcp portmapper' 'sunrpc 111/udp portmapper' 'nfs 2049/tcp' 'nfs 2049/udp' >/etc/services
[[ -s /etc/protocols ]] || printf '%s\n' 'tcp 6 TCP' 'udp 17 UDP' >/etc/protocols
printf '_rpc:x:106:65534::/run/rpcbind:/\nstatd:x:107:65534::/var/lib/nfs:/\n' >>/etc/passwd
hostname srv
ip link set lo up

mkdir -p /srv/x /var/lib/nfs
mount -t tmpfs srv /srv/x
mount -t tmpfs v /var/lib/nfs
mkdir -p /var/lib/nfs/{sm,sm.bak,v4recovery}
: >/var/lib/nfs/etab
: >/var/lib/nfs/rmtab
# Without a short grace period the first locks wait for 50 s (NFS 3) and 90 s (NFS 4).
sysctl -qw fs.nfs.nlm_grace_period=1
mount -t nfsd nfsd /proc/fs/nfsd
start_nfs() {
    exportfs -o rw,no_root_squash,no_subtree_check,fsid=0,insecure '*:/srv/x'
    rpc.nfsd -G 10 -L 10 2
    rpc.mountd
    echo Y >/proc/fs/nfsd/v4_end_grace
}
rpcbind
rpc.statd --no-notify
start_nfs

mkdir -p /etc/samba /run/samba /var/lib/samba/private /var/cache/samba /var/log/samba
cat >/etc/samba/smb.conf <<CONF
[global]
server role = standalone server
disable spoolss = yes
load printers = no
log file = /tmp/smb.log
bind interfaces only = no
[x]
path = /srv/x
read only = no
force user = root
CONF
printf 'pw\npw\n' | smbpasswd -s -a root >/dev/null
smbd -D
note "the server is up"

SRV=$$
on() { # HOST COMMAND...
    local pid=${!1}
    shift
    nsenter -t "$pid" -n -m -u -- "$@"
}
mount_all() { # HOST NUMBER
    on "$1" sh -e -c "
        mount -t nfs -o retry=0,vers=4.2 10.0.$2.1:/ /mnt/nfs4
        mount -t nfs -o retry=0,vers=3 10.0.$2.1:/srv/x /mnt/nfs3
        mount -t nfs -o retry=0,vers=3,nolock 10.0.$2.1:/srv/x /mnt/nolock
        mount -t cifs -o username=root,password=pw //10.0.$2.1/x /mnt/smb
        mount -t cifs -o username=root,password=pw,nobrl //10.0.$2.1/x /mnt/nobrl" || result "host-$1 cannot-mount"
}
number=0
for host in A B C; do
    number=$((number + 1))
    unshare -n -m -u --propagation private sleep 10000 </dev/null >/dev/null 2>&1 &
    disown
    printf -v $host %s $!
    until [[ $(readlink /proc/${!host}/ns/mnt) != "$(readlink /proc/$$/ns/mnt)" ]]; do sleep 0.02; done
    ip link add v$host type veth peer name eth0 netns ${!host}
    ip addr add 10.0.$number.1/24 dev v$host
    ip link set v$host up
    # Different host names: an NFS 4 server takes two hosts with the same name for one client, and grants both the lock.
    on $host sh -e -c "hostname host$host
        ip link set lo up; ip addr add 10.0.$number.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.$number.1
        mount -t tmpfs run /run; mount -t tmpfs nfs /var/lib/nfs; mkdir /var/lib/nfs/sm /var/lib/nfs/sm.bak
        mount -t tmpfs mnt /mnt; mkdir /mnt/nfs4 /mnt/nfs3 /mnt/nolock /mnt/smb /mnt/nobrl
        rpcbind; rpc.statd --no-notify"
    mount_all $host $number
done
note "three hosts are up"
