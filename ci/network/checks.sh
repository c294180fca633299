# The checks of what each file system excludes. Sourced by guest.sh.

until_it() { # SECONDS COMMAND...: waits until the command succeeds
    local end=$((${1} * 10))
    shift
    while ((end-- > 0)); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}

# The command under the lock writes the times when it starts and ends. All hosts write to the same trace.
cat >/tmp/turn <<'TURN'
#!/bin/sh
# turn TRACE NAME SECONDS
echo "$(cut -d' ' -f1 /proc/uptime) in $2" >>"$1"
[ "$3" = for-good ] && { echo $$ >"$1.$2"; exec sleep 1000; }
sleep "$3"
echo "$(cut -d' ' -f1 /proc/uptime) out $2" >>"$1"
TURN
chmod +x /tmp/turn

start() { # HOST TRACE NAME SECONDS FILE [OPTION...]: a process on the host takes the lock and holds it
    local host=$1 trace=$2 name=$3 seconds=$4 file=$5
    shift 5
    on $host "$LOCKET" run -q "$@" "$file" -- /tmp/turn "$trace" "$name" "$seconds" >/dev/null 2>&1 &
}
traces=0
is_in() { grep -q " in $2\$" "$1" 2>/dev/null; }
hold() { # HOST FILE: $trace is its trace
    trace=/tmp/trace.$((++traces))
    start "$1" "$trace" first for-good "$2" -w 30
    until_it 30 is_in "$trace" first || note "the holder on $1 did not get $2"
}
end_hold() { # TRACE: kills the holder. Its hold ends with the kill, which is after the time that is written.
    echo "$(now) out first" >>"$1"
    kill -9 "$(cat "$1.first")"
}
attempt() { # HOST FILE [OPTION...]: prints what one attempt says
    local output code host=$1 file=$2
    shift 2
    (($#)) || set -- -n
    output=$(on "$host" timeout -s KILL 30 "$LOCKET" run "$@" "$file" -- true 2>&1)
    code=$?
    case $code in
        0) echo "both in" ;;
        75) echo excluded ;;
        *) echo "code $code: $output" ;;
    esac
}
status() { # HOST FILE: the state, with the number of the process as N
    on "$1" "$LOCKET" status "$2" 2>&1 | sed -n '1s/.*: //; 1p; 3{s/.*  (\(.*\))/by \1/; s/^ *held .*/by a process/; p}' | paste -sd, | sed 's/,/, /'
}
overlaps() { # TRACE: prints whether two processes held the lock at the same time
    sort -n "$1" | awk '{ n += $2 == "in" ? 1 : -1; if (n > 1) both = 1 } END { print both ? "both in" : "one at a time" }'
}

excludes() { # FS
    local file=/mnt/$1/$1.lock other start code took
    hold A $file
    other=$(attempt B $file)
    result "$1 same-host $(attempt A $file)"
    result "$1 other-host $other"
    # A client may have a lease on the file (a delegation), which it has to return first.
    result "$1 on-the-server $(attempt SRV /srv/x/$1.lock -w 15)"
    result "$1 status-of-the-holders-host $(status A $file)"
    result "$1 status-of-another-host $(status B $file)"
    if [[ $other == excluded ]]; then
        start=$(now)
        on B timeout -s KILL 20 "$LOCKET" run -q -w 1 $file -- true >/dev/null 2>&1
        code=$?
        took=$(awk "BEGIN { took = $(now) - $start; print took < 1 ? \"too early\" : took < 8 ? \"in time\" : \"late\" }")
        result "$1 timeout-of-1-s code $code, $took"
        start B "$trace" second 0 $file -w 30
        sleep 1
        end_hold "$trace"
        until_it 30 is_in "$trace" second || note "$1: the waiter did not get the lock after the holder was killed"
        wait
        result "$1 killed-holder $(overlaps "$trace")"
    else
        end_hold "$trace"
    fi
    result "$1 status-when-free $(status B $file)"
}

# B waits for the file that A holds. C locks another file and renames it to the path: from then on C holds the lock of the path.
# Then A releases the old file. B must not get the lock beside C.
replaced() { # FS [SUFFIX]
    local directory=/mnt/$1 old new
    local file=$directory/$1.replaced
    hold A $file
    old=$trace
    hold C $directory/$1.new
    new=$trace
    on B ls $directory >/dev/null
    start B $new waiter 1 $file -w 40
    sleep 1
    on C mv -f $directory/$1.new $file || note "$1: the file was not replaced"
    end_hold $old
    # Time enough for B to get the lock, if it wrongly does.
    until_it 3 is_in $new waiter
    end_hold $new
    until_it 30 is_in $new waiter || note "$1: the waiter never got the lock"
    wait
    result "$1 replaced-file${2-} $(overlaps $new)"
    note "$1: $(tr '\n' ';' <$old) then $(tr '\n' ';' <$new)"
}

# A control: flock(1) does not check the path, and gets the lock.
cat >/tmp/flock-as-locket <<'FLOCK'
#!/bin/sh
# run -q -w SECONDS FILE -- COMMAND...
shift 2
wait=
[ "$1" = -w ] && { wait="-w $2"; shift 2; }
file=$1
shift 2
exec flock $wait "$file" "$@"
FLOCK
chmod +x /tmp/flock-as-locket
replaced_with_flock() { # FS
    local LOCKET=/tmp/flock-as-locket
    replaced "$1" -with-flock
}

# A file that the process may read but not write.
permissions() { # FS
    local file=/srv/x/$1.readonly output code
    : >$file
    chmod 644 $file
    output=$(on B setpriv --reuid 65534 --regid 65534 --clear-groups "$LOCKET" run -n /mnt/$1/$1.readonly -- true 2>&1)
    code=$?
    result "$1 readable-file-exclusively code $code$(grep -o ': .*requires write access' <<<"$output" | sed 's/.* requires/, requires/')"
    on B setpriv --reuid 65534 --regid 65534 --clear-groups "$LOCKET" run -sn /mnt/$1/$1.readonly -- true >/dev/null 2>&1
    result "$1 readable-file-shared code $?"
}
