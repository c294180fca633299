#!/usr/bin/env bash
# Makes the package for Debian of what is in the archive. The program is in the way of no other: /usr/bin/flock stays util-linux's.
#
#   ci/package/debian.sh ARCHIVE-DIRECTORY OUT     called by build.sh, with VERSION, MAINTAINER, HOMEPAGE, SOURCE_DATE_EPOCH
set -euo pipefail
from=$1 out=$2

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# mktemp makes it for its owner alone, and dpkg-deb takes / as it is.
chmod 755 "$root"
architecture=$(dpkg --print-architecture)
# The 1 counts the packages that are made of one version.
revision=$VERSION-1
if [[ -z $MAINTAINER ]]; then
    echo "NOT FILLED: maintainer in Cargo.toml: the package names none that can be reached" >&2
    MAINTAINER='The Locket developers <unset@locket.invalid>'
fi

doc=$root/usr/share/doc/locket
install -Dm755 -t "$root/usr/bin" "$from/locket"
install -Dm644 -t "$root/usr/share/man/man1" "$from"/man/man1/*
install -Dm644 "$from/completions/locket.bash" "$root/usr/share/bash-completion/completions/locket"
install -Dm644 "$from/completions/_locket" "$root/usr/share/zsh/vendor-completions/_locket"
install -Dm644 "$from/completions/locket.fish" "$root/usr/share/fish/vendor_completions.d/locket.fish"
# README links to docs/, which has a README of its own.
install -Dm644 -t "$doc/docs" "$from"/docs/*.md
install -m644 -t "$doc" "$from/README.md"
install -m644 "$from/CHANGELOG.md" "$doc/changelog"

# Machine-readable (www.debian.org/doc/packaging-manuals/copyright-format/1.0): the licence of Locket, and what is linked in.
indented() { sed 's/^[[:space:]]*$/./; s/^/ /'; }
{
    cat <<EOF
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Locket
Comment: The program is linked statically.
$(indented <"$from/LICENSES-THIRD-PARTY")

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' "$from/LICENSE-MIT")
License: Expat or Apache-2.0

License: Expat
$(sed '1,/^Copyright/d' "$from/LICENSE-MIT" | sed '1{/^$/d}' | indented)

License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.
EOF
} >"$doc/copyright"
cat >"$doc/changelog.Debian" <<EOF
locket ($revision) unstable; urgency=medium

  * Locket $VERSION, as its project builds it: see changelog.gz.

 -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$root"/usr/share/man/man1/*

install -d "$root/usr/share/lintian/overrides"
cat >"$root/usr/share/lintian/overrides/locket" <<'EOF'
# It is linked statically, so that one package does for every release of Debian; and may stand at any address, for which it
# looks like a library (static PIE).
locket: shared-library-lacks-prerequisites [usr/bin/locket]
# The project's own package, of which no bug of Debian's asks for an upload.
locket: initial-upload-closes-no-bugs [usr/share/doc/locket/changelog.Debian.gz:1]
EOF

mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<EOF
Package: locket
Version: $revision
Architecture: $architecture
Maintainer: $MAINTAINER
Installed-Size: $(find "$root/usr" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
Section: utils
Priority: optional
${HOMEPAGE:+Homepage: $HOMEPAGE
}Description: run a command while a lock named by a file is held
 Locket takes an advisory lock on a file and runs a command under it. A wait
 with a timeout sleeps in the kernel's queue; signals reach the command once;
 the lock is held until the command has ended, even if locket is killed.
 .
 It shows the processes that hold a lock and wait for it, and understands the
 command line of flock(1) of util-linux, beside which it can be installed: both
 exclude each other.
EOF
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 644 "$root"/DEBIAN/*
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$root" "$out/locket_${revision}_$architecture.deb" >/dev/null
