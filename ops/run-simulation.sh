#!/usr/bin/env bash
# Simulates whole clusters under faults: fresh seeds; some of them twice, whose traces must be the same to the byte; and a death at
# every point at which a process can die; and the pure cores are searched deeper than the tests do.
# Usage: ops/run-simulation.sh [SEEDS [SECONDS [FIRST_SEED]]]; a failing seed is listed with the command that repeats it.
# A seed of 60 simulated seconds costs five to eight seconds of one core.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds="${1:-300}"
seconds="${2:-60}"
first="${3:-$(($(date +%s) % 1000000 * 1000))}"
target="${CARGO_TARGET_DIR:-target}"
jobs="$(nproc)"
# As `make test` builds: with other targets, features would differ and everything be compiled once more.
cargo build --workspace --all-targets --locked
simulate() { "$target/debug/weir-sim" "$@" --jobs "$jobs"; }
simulate seeds --from "$first" --count "$seeds" --seconds "$seconds"
simulate seeds --from "$first" --count "$((seeds / 20 + 2))" --seconds 20 --twice
simulate points --seed 1 --seconds 4
simulate search --deeper 1
