#!/usr/bin/env bash
# Prints a directory to build in that outlives the checkout, in the user's cache folder: one for each toolchain and Cargo.lock, so
# that what others wrote is compiled once. What earlier checkouts left of our own crates is removed, and so are all directories but
# the two used last, and one that has grown too big.
set -euo pipefail
cd "$(dirname "$0")/.."
source ops/cache.sh
limit_mb=10000

key=$({ rustc -vV; cat Cargo.lock; } | sha256sum | cut -c1-16)
directory=$weir_cache/build/$key
mkdir -p "$directory"
touch "$directory"
ls -1dt "$weir_cache"/build/*/ | tail -n +3 | xargs -r rm -rf
if [ "$(du -sm "$directory" | cut -f1)" -gt "$limit_mb" ]; then
    rm -rf "$directory"
    mkdir -p "$directory"
fi
cargo clean --quiet --locked --workspace --target-dir "$directory" >&2
echo "$directory"
