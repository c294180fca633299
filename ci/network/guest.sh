# In the guest: a server of NFS and SMB, three hosts A, B and C, and what each file system excludes. Sourced by bash.
#
# Each result is a line `RESULT file-system what answer`.
mode=$1
now() { cut -d' ' -f1 /proc/uptime; }
note() { echo "NOTE [$(now)] $*"; }
result() { echo "RESULT $*"; }

. "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"
. "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
echo up

for fs in nfs4 nfs3 nolock smb nobrl; do
    excludes $fs
    # Where two hosts do not exclude each other, no file on it can.
    case $fs in nolock | nobrl) ;; *) replaced $fs ;; esac
    note "$fs is done"
done
permissions nfs4
replaced_with_flock nfs4
[[ $mode != deep ]] || . "$(dirname "${BASH_SOURCE[0]}")/deep.sh"
