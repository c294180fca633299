#!/usr/bin/env bash
# The fuzz targets: replays their corpora, and then looks for inputs that are not in them.
#
#   ci/fuzz.sh                       replays fuzz/corpus; needs no fuzzer
#   ci/fuzz.sh SECONDS [TARGET]...   runs each target that long, or these. Needs a nightly toolchain. What is found stays in
#                                    target/fuzz-corpus, and an input that fails in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/fuzz}

if (($# == 0)); then
    # fuzz/.cargo/config.toml sets the flag that makes the parsers public.
    cd fuzz && exec cargo test --quiet --no-default-features
fi

seconds=$1
targets=("${@:2}")
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "SKIPPED fuzz targets: nightly toolchain"
    exit 0
fi
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
((${#targets[@]})) || mapfile -t targets < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
for target in "${targets[@]}"; do
    found=target/fuzz-corpus/$target
    mkdir -p "$found"
    log=target/fuzz-corpus/$target.log
    cargo +nightly fuzz run "$target" "$found" "fuzz/corpus/$target" -- -max_total_time="$seconds" -timeout=60 \
        -print_final_stats=1 >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, $(ls "$found" | wc -l) new ones kept"
done
