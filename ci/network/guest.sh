# Runs in the guest: starts a server of NFS and SMB and three hosts A, B and C, and checks what each file system excludes.
#
# Each result is a line `RESULT FILE-SYSTEM CHECK ANSWER`.
mode=$1
now() { cut -d' ' -f1 /proc/uptime; }
note() { echo "NOTE [$(now)] $*"; }
result() { echo "RESULT $*"; }

. "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"
. "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
echo up

for fs in nfs4 nfs3 nolock smb nobrl; do
    excludes $fs
    # These do not exclude other hosts, so a replaced file is not checked.
    case $fs in nolock | nobrl) ;; *) replaced $fs ;; esac
    note "$fs is done"
done
permissions nfs4
replaced_with_flock nfs4
[[ $mode != deep ]] || . "$(dirname "${BASH_SOURCE[0]}")/deep.sh"
