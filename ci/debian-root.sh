#!/usr/bin/env bash
# Makes a Debian root with debootstrap, of the packages of a minimal system and those that are named. A root that is there
# already is kept. From where this machine has its own packages, as root.
#
#   ci/debian-root.sh DIRECTORY SUITE [PACKAGE]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$1 suite=$2 packages=$(IFS=,; echo "${*:3}")
[[ -e $root/complete && $(<"$root/complete") == "$packages" ]] && exit

command -v debootstrap >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends debootstrap >/dev/null
}
rm -rf "$root"
mkdir -p "$root"
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk -v suite="$here" '$2 == suite { print $1; exit }')
debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$root" "$mirror" >"$root.log" ||
    { tail "$root.log" >&2; exit 1; }
echo "$packages" >"$root/complete"
