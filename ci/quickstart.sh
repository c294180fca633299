#!/usr/bin/env bash
# Runs the example of README twice at the same time: the second process must wait for the first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

grep -qF 'cargo run --example quickstart' README.md
cargo build --quiet --example quickstart

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export LOCKET_EXAMPLE_PATH=$scratch/my_app.lock

cargo run --quiet --example quickstart >>"$scratch/log" &
first=$!
cargo run --quiet --example quickstart >>"$scratch/log"
wait "$first"
cat "$scratch/log"

# A process that prints "locked" must print "unlocking" before another one prints "locked".
awk '
    $2 == "locked,"   { if (inside) { print "two in the critical section: " inside " and " $1; exit 1 }; inside = $1; holds++ }
    $2 == "unlocking" { if (inside != $1) { print $1 " unlocks what it does not hold"; exit 1 }; inside = "" }
    END { if (holds != 4) { print holds + 0 " holds, not 4"; exit 1 } }
' "$scratch/log"

# While another process holds the lock, the example prints an error that says so, and fails.
exec 9>"$LOCKET_EXAMPLE_PATH"
flock 9
if cargo run --quiet --example quickstart >"$scratch/log"; then
    echo "the example ran although the lock was held" >&2
    exit 1
fi
cat "$scratch/log"
grep -qF "cannot lock $LOCKET_EXAMPLE_PATH within 5s" "$scratch/log"
