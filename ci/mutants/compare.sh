#!/usr/bin/env bash
# Compares what cargo-mutants found with the lists of what is known.
#
#   ci/mutants/compare.sh RESULTS part|all [LISTS]
#
# RESULTS is the directory with missed.txt and timeout.txt. LISTS has equivalent.txt and endless.txt, by default this script's
# directory. A line of a list is COUNT, CHANGE and REASON, separated by tabs: the name of the change as cargo-mutants prints it,
# without the line and the column, and how many changes have that name. Fails for a change that is not in its list; after a run
# of all changes also for one that is in the list and was not found: the lists may only shrink.
set -euo pipefail
results=$1 scope=$2 lists=${3:-$(dirname "${BASH_SOURCE[0]}")}

names() { sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' "$1" | sort | uniq -c | sed -E 's/^ *([0-9]+) /\1\t/'; }

# compare FOUND LIST
compare() {
    names "$results/$1" | awk -F'\t' -v scope="$scope" -v list="$lists/$2" '
        BEGIN {
            while ((getline line < list) > 0) {
                if (line ~ /^(#|$)/) continue
                if (split(line, field, "\t") != 3 || field[1] !~ /^[1-9][0-9]*$/ || field[3] == "") {
                    print list ": not COUNT, CHANGE and REASON: " line; bad = 1; continue
                }
                known[field[2]] = field[1]
            }
        }
        { found[$2] = $1 }
        $1 > known[$2] + 0 { print "not in " list ": " $1 " of: " $2; bad = 1 }
        END {
            for (name in known)
                if (scope == "all" && found[name] + 0 < known[name]) {
                    print list ": only " found[name] + 0 " of " known[name] " were found: " name; bad = 1
                }
            exit bad
        }'
}

status=0
compare missed.txt equivalent.txt || status=1
compare timeout.txt endless.txt || status=1
for found in caught missed timeout unviable; do
    printf '%s %s  ' "$(wc -l <"$results/$found.txt")" "$found"
done
echo
exit "$status"
