# Everything a developer or a first-time user types. Each target does its own set-up.
.PHONY: demo sql-demo chaos test verify fix soak bench setup setup-tests

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
TARGET := $(or $(CARGO_TARGET_DIR),target)
MINUTES ?= 60

## demo: a cluster on this machine, real data, the leader killed in the middle, and a verdict
demo: setup
	$(CARGO) build --workspace --bin weir --locked
	$(TARGET)/debug/weir demo

## sql-demo: a SQL script over real data, on a cluster of its own, to its first results
sql-demo: setup
	$(CARGO) build --workspace --bin weir --locked
	ops/sql-demo.sh $(TARGET)/debug/weir

## chaos: five minutes of everything that can go wrong, on raft, etcd and ZooKeeper; judged, and told in pages to look at
chaos: setup-tests
	$(CARGO) build --release --locked --package weir --package weir-chaos --bins
	ops/chaos.sh

## test: every test, real processes and real servers included
test: setup-tests
	$(CARGO) build --workspace --all-targets --locked
	ops/run-tests.sh

## verify: formatting, lints, licences; writes nothing
verify: setup
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --all-features check licenses bans sources; \
	else echo "cargo-deny is not installed: licences and bans not checked (cargo install cargo-deny)"; fi

## fix: what verify complains about, as far as a machine can
fix:
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

## soak: hours of simulations and broken clusters, as evidence for a release: make soak MINUTES=240
soak: setup-tests
	$(CARGO) build --release --locked --package weir --package weir-chaos --package weir-sim --bins
	ops/run-simulation.sh --soak
	ops/soak.sh $(MINUTES)

## bench: the figures of docs/measurements.md, on this machine
bench: setup-tests
	$(CARGO) build --release --locked -p weir -p weir-chaos -p weir-ha --bins --examples
	ops/bench.sh

setup:
	@ops/setup.sh

setup-tests:
	@ops/setup.sh --tests
	@ops/test-servers.sh
