#!/usr/bin/env bash
# Checks that sentences name their subjects: "whoever", "nobody" and "somebody" stand in no file that git tracks.
#
#   ci/words.sh [DIRECTORY]     the project's tree if not given
#
# Allowed are licences, a word alone in quotes or backticks, and the user `nobody` as an argument or in /etc/passwd.
# Needs bash and git only. Prints FILE:LINE of each offence and exits with 1 if there is one.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

# Each word is alone in quotes, so this file passes.
user='nobody'
words="whoever"'|'$user'|'"somebody"
value=' +[^- ][^ ]*'
allowed=(
    "[\"'\`]($words)[\"'\`]"
    # su nobody, sudo -u nobody, su -s /bin/sh nobody, chown nobody:nogroup
    "(su|sudo|runuser|setpriv|chown)( +-[^ ]*($value)?)*[ =]+$user(:nogroup)?( |\$|[\"'\`;),])"
    # A line of /etc/passwd or /etc/group.
    "$user:[x*!]?:[0-9]+:([0-9]+:($user:)?)?"
)

# git grep exits with 1 where nothing is found. In a container the tree may belong to another user than the one that runs this.
status=0
hits=$(git -c safe.directory="$PWD" grep -nIiE "$words" -- . ':(exclude,glob)**/LICENSE*' ':(exclude)ci/words.sh') || status=$?
((status <= 1)) || exit "$status"

offences=0
while IFS= read -r hit; do
    [[ -n $hit ]] || continue
    text=${hit#*:*:}
    text=${text,,}
    for form in "${allowed[@]}"; do
        while [[ $text =~ $form ]]; do text=${text/"${BASH_REMATCH[0]}"/_}; done
    done
    [[ $text =~ $words ]] || continue
    echo "$hit"
    offences=$((offences + 1))
done <<<"$hits"

if ((offences)); then
    echo "ci/words.sh: $offences lines: name the process, the thread, the caller or the user instead" >&2
    exit 1
fi
