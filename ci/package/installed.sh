#!/usr/bin/env bash
# Runs in a Debian root, in which the package lies as /locket.deb: installs it, uses it and removes it.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

check() {
    local name=$1
    shift
    "$@" || { echo "FAILED package: $name" >&2; exit 1; }
    echo "ok package: $name"
}
# dpkg's own record of what was installed, the index of the manual and the logs are no files of the package.
files() { find / -xdev -path /proc -prune -o -path /var/lib/dpkg -prune -o -path /var/cache/man -prune -o -path /var/log -prune -o -print | sort; }
# All of it is read: `grep -q` leaves at the first match, and what still writes then fails of SIGPIPE.
says() {
    local words=$1
    shift
    "$@" 2>&1 | col -b | grep -F -- "$words" >/dev/null
}
is_flock_of_util_linux() { [[ $(dpkg -S /usr/bin/flock) == util-linux:* ]] && dpkg --verify util-linux && says util-linux flock --version; }
is_refused() { ! "$@"; }

cd /tmp
files >/files-before
check "it installs without another package" dpkg --install /locket.deb
check "flock is util-linux's" is_flock_of_util_linux
check "locket run" says inside locket run x.lock -- echo inside
check "flock and locket exclude each other" is_refused locket run x.lock -- flock --nonblock x.lock true
check "as flock" bash -c 'exec -a flock locket x.lock true'
rm x.lock
for page in locket{,-run,-wait,-status,-lock,-unlock,-flock,-man,-completions}; do
    check "man $page" says EXAMPLES man --pager=cat "$page"
    check "man -l $page" says EXAMPLES man --pager=cat -l "/usr/share/man/man1/$page.1.gz"
done
check "bash completes" says status bash -c '
    . /usr/share/bash-completion/bash_completion
    _completion_loader locket
    COMP_WORDS=(locket sta) COMP_CWORD=1
    $(complete -p locket | sed "s/.*-F \([^ ]*\).*/\1/") locket sta locket
    echo "${COMPREPLY[@]}"'
check "zsh completes" says _locket zsh -fc 'autoload -Uz compinit && compinit -u -D && print $_comps[locket]'
check "fish completes" says status fish -c 'complete -C "locket sta"'
# Of shells that have run here for the first time.
rm -rf /root/.local /root/.config /root/.cache
check "it is purged" dpkg --purge locket
files >/files-after
sed -i '\,^/files-,d' /files-before /files-after
check "nothing is left" diff /files-before /files-after
