#!/usr/bin/env bash
# Checks ci/words.sh: it reports each offence that is put into a scratch tree, and lets the allowed forms pass.
set -euo pipefail
check=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/words.sh

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git -c init.defaultBranch=main init --quiet "$tree"

fail() {
    echo "ci/words-test.sh: $1" >&2
    exit 1
}

# The files of the tree are text.md, a licence and the two scripts, which pass.
write() {
    printf '%s\n' "$@" >"$tree/text.md"
    git -C "$tree" add --all
}

printf 'granted to %s\n' 'whoever' >"$tree/LICENSE-TEST"
cp "$check" "${BASH_SOURCE[0]}" "$tree"
name='nobody'
allowed=(
    'The process waits.'
    "As the user \`$name\`." "Runs as \"$name\" and '$name'."
    "su $name" "su -s /bin/sh $name -c true" "sudo -u $name true" "setpriv --reuid=$name true" "chown $name:nogroup file"
    "$name:x:65534:65534:$name:/nonexistent:/usr/sbin/nologin"
)
for line in "${allowed[@]}"; do
    write "$line"
    "$check" "$tree" >/dev/null || fail "an allowed line is reported: $line"
done

for word in 'whoever' 'nobody' 'somebody'; do
    for line in "Then $word waits." "${word^} waits." "${word^^} waits" "fn ${word}_waits() {}" "$word's lock" "\"$word waits\"" \
        "\`$word\` is allowed, $word is not"; do
        write 'first' "$line" 'third'
        if report=$("$check" "$tree" 2>/dev/null); then fail "not reported: $line"; fi
        [[ $report == "text.md:2:$line" ]] || fail "expected text.md:2:$line, got: $report"
    done
done

# An offence beside a file without one; a file that git does not track is not read.
write 'clean'
printf 'Then %s waits.\n' 'nobody' >"$tree/untracked.md"
"$check" "$tree" || fail "an untracked file is reported"
# Without a git tree there is nothing to read: an error, not a success.
rm -rf "$tree/.git"
if GIT_CEILING_DIRECTORIES=$(dirname "$tree") "$check" "$tree" >/dev/null 2>&1; then fail "no git tree, and no error"; fi
echo "ci/words.sh reports what it should"
