#!/usr/bin/env bash
# Other systems: compiles and lints the library for each supported target, most of which no machine of the project runs, and runs
# the tests for musl.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

musl=x86_64-unknown-linux-musl
unix=("$musl" x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd)
windows=(x86_64-pc-windows-gnu x86_64-pc-windows-msvc)
# Systems without file locks: the library compiles there, and its calls return an error.
unsupported=(wasm32-wasip1 wasm32-unknown-unknown)

# `rustup target add` asks the network even for a target that is installed.
installed=$(rustup target list --installed)
for target in "${unix[@]}" "${windows[@]}" "${unsupported[@]}"; do
    grep -qx "$target" <<<"$installed" || rustup target add "$target"
done

lint() {
    echo "--> $*"
    cargo clippy "$@" -- -D warnings
}
for target in "${unix[@]}" "${windows[@]}"; do
    lint --package filelocket --package locket-tests --target "$target" --all-targets --all-features
done
for target in "${unsupported[@]}"; do
    lint --package filelocket --target "$target" --lib
done

# The documentation that docs.rs makes for Windows: no link may lead to what is there on Unix alone.
RUSTDOCFLAGS='-D warnings' cargo doc --package filelocket --lib --no-deps --target x86_64-pc-windows-msvc

cargo test --no-fail-fast --package filelocket --package locket-tests --target "$musl"
