#!/usr/bin/env bash
# Runs every test: with nextest where it is installed, with cargo's own runner elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where ops/test-servers.sh has put the servers that tests talk to.
profile=default
[ -z "${CI:-}" ] || profile=ci
export WEIR_TEST_SERVERS="${WEIR_TEST_SERVERS:-$PWD/target/test-servers}"
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked --profile "$profile" "$@"
fi
exec cargo test --workspace --all-targets --locked "$@"
