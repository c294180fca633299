# Bugs in the parsers and in the lock, which the corpora of the fuzz targets have to show. Sourced by ci/seeded.sh.

title='fuzz targets'

# The name of a target.
program_of() { echo corpora "$1"; }

tests() { (cd fuzz && cargo test --quiet --no-default-features --test "$@"); }

build() { tests "$1" --no-run; }

run() { timeout 120 bash -c "$(declare -f tests); "'tests "$1" -- --exact "$2"' run "$1" "$2"; }

seeds() {
linux=src/report/linux

seed depth_is_ignored locks $linux/table.rs 'hold.waiting.sort_by_key(|entry| entry.depth);' 'let _ = &hold;'
seed waiter_of_another_file locks $linux/table.rs 'if entry.depth > 0 && hold.entry.file == entry.file' 'if entry.depth > 0'
seed device_is_decimal locks $linux/table.rs 'u32::from_str_radix(digits, 16)' 'u32::from_str_radix(digits, 10)'
seed inode_is_cut fdinfo $linux/file.rs 'line.strip_prefix(word))?.trim().parse().ok()' 'line.strip_prefix(word))?.trim().get(1..)?.parse().ok()'
seed backslash_first mountinfo $linux/mounts.rs \
    '[("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]' \
    '[("\\134", "\\"), ("\\040", " "), ("\\011", "\t"), ("\\012", "\n")]'
seed first_parenthesis_ends_the_name process_stat $linux/process.rs 'text.rsplit_once(") ")?' 'text.split_once(") ")?'
seed minutes_are_hours duration src/bin/locket/duration.rs '"ms" => 0.001,' '"ms" => 0.01,'
seed decimal_is_hexadecimal flock_numbers src/bin/locket/flock/numbers.rs '_ => (10, word),' '_ => (16, word),'
seed value_is_read_twice command_line src/bin/locket/flock/args.rs 'letters = if option.takes_value() { &[] } else { rest };' 'letters = rest;'
seed unguarded_is_guard_0 history model/src/history/text.rs 'f.write_str("unguarded")?' 'f.write_str("guard=0")?'
seed exclusive_is_shared operations src/os/unix.rs 'FileExt::try_lock(&*file.own)' 'FileExt::try_lock_shared(&*file.own)'
seed exclusive_is_shared_among_threads threads src/os/unix.rs 'FileExt::try_lock(&*file.own)' 'FileExt::try_lock_shared(&*file.own)'
}
