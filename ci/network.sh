#!/usr/bin/env bash
# Locket on file systems that are not local: real servers of NFS and SMB with three hosts, and FUSE. Compares what each file
# system excludes with ci/network/expected.txt, line by line.
#
#   ci/network.sh           a few minutes, as root on Debian (amd64)
#   ci/network.sh deep      and the longer checks: a server that restarts, a host that is cut off
#
# The hosts are network namespaces of one User-Mode Linux, which boots in seconds without KVM and without a module of this
# machine's kernel. Its packages are unpacked below target/network and not installed, and it cannot write to this machine's files.
# Where it cannot boot, the script prints SKIPPED and succeeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:-short}
place=$PWD/target/network
mkdir -p "$place"

skipped() {
    echo "SKIPPED network: $*: locks on NFS, SMB and FUSE were not tried"
    exit 0
}
[[ $(dpkg --print-architecture 2>/dev/null) == amd64 ]] || skipped "User-Mode Linux is packaged for Debian on amd64 alone"
((UID == 0)) || skipped "root is needed"

cargo build --quiet --features cli
locket=$PWD/target/debug/locket
results=$place/results.txt
: >"$results"

ci/network/fuse.sh "$place" "$locket" | tee -a "$results"
ci/network/boot.sh "$place" "$locket" "$mode" >"$place/boot.log" 2>&1 || { cat "$place/boot.log"; exit 1; }
grep -q '^up' "$place/boot.log" || { cat "$place/boot.log"; skipped "User-Mode Linux did not boot"; }
grep -E '^(RESULT|NOTE) ' "$place/boot.log" | tr -d '\r' | sed 's/^RESULT //' | tee -a "$results"

echo "file systems that are not local, $(grep -c . "$results") results:"
expected() { [[ $mode == deep ]] && cat ci/network/expected.txt ci/network/expected-deep.txt || cat ci/network/expected.txt; }
if ! diff <(expected | grep -v '^#' | sort) <(grep -v '^NOTE ' "$results" | sort); then
    echo "network: the lines with < were expected, those with > were seen" >&2
    exit 1
fi
echo "network: all as expected"
