#!/usr/bin/env bash
# The library and its tests under AddressSanitizer and ThreadSanitizer, with an instrumented standard library; and the parts that
# make no system call under Miri. Needs a nightly toolchain with rust-src, and miri.
#
#   ci/sanitizers.sh [address|thread|miri]...     all by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($#)) || set -- address thread miri

has() { [[ $(rustup component list --toolchain nightly --installed 2>/dev/null) == *"$1"* ]]; }
# The sanitizers add a thread, memory and time, so tests that measure these say nothing: all of `laws`, and
slow=(a_path_is_remembered_after_its_last_handle)
target=$(rustc -vV | sed -n 's/^host: //p')

for checker in "$@"; do
    if [[ $checker = miri ]]; then
        has miri || { echo "SKIPPED miri: nightly toolchain with miri"; continue; }
        export CARGO_TARGET_DIR=$PWD/target/miri
        # These tests make system calls that Miri does not have, or take it minutes.
        skipped=(a_path_is_remembered a_mount_that_is_not_listed an_open_file_is_on_some_mount a_pid_without_a_process
            this_process_is_described reading::tests::what reading::tests::locks)
        MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --package filelocket --lib -- "${skipped[@]/#/--skip=}"
        continue
    fi
    has rust-src || { echo "SKIPPED $checker sanitizer: nightly toolchain with rust-src"; continue; }
    export CARGO_TARGET_DIR=$PWD/target/$checker
    # A child of fork(2) may start threads: ThreadSanitizer ends it otherwise.
    export TSAN_OPTIONS="halt_on_error=1 die_after_fork=0 suppressions=$PWD/ci/tsan.supp" ASAN_OPTIONS='detect_leaks=0'
    RUSTFLAGS="-Zsanitizer=$checker" cargo +nightly test -Zbuild-std --target "$target" --features stress --no-fail-fast \
        --package filelocket --package locket-tests --lib --test wait --test properties --test stress -- "${slow[@]/#/--skip=}"
done
