# The verbs of this project. `.ci/run` calls only these. Each does its own set-up.
#
# CARGO_TARGET_DIR is honoured. JOBS=n limits the build. SEED=n picks the run of `make sim`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
CARGO ?= cargo
export CARGO

FUZZ_SECONDS = $(or $(SECONDS),60)

.PHONY: help fuzz soak release cluster cluster-stop test test-rust test-release test-clients test-lab check fix bench bench-guard sim docs

help:
	@awk -F'## ' '/^[a-z-]+:.*## /{split($$1,a,":"); printf "  make %-14s %s\n", a[1], $$2}' Makefile

release: ## the release directory _rel/emqx
	@tools/release.sh

cluster: release ## three nodes on this host, joined; sends a message across them
	@tools/cluster.sh start

cluster-stop: ## ends what `make cluster` started
	@tools/cluster.sh stop

test: ## every test: units, sockets, the release, real clients, several hosts
	@tools/setup.sh test
	@tools/test.sh all

test-rust: ## units and sockets only
	@tools/setup.sh rust
	@tools/test.sh rust

test-release: ## what `make release` and `make cluster` promise
	@tools/test.sh release

test-clients: ## real clients against the release
	@tools/setup.sh clients
	@tools/test.sh clients

test-lab: ## several hosts, made of network namespaces
	@tools/setup.sh lab
	@tools/test.sh lab

check: ## format, lints, licences, layout; writes nothing
	@tools/setup.sh check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) deny --locked check licenses bans sources
	$(CARGO) test --locked -q -p flockmq-mqtt --test conformance
	@tools/tidy.sh

fix: ## formats and applies lint suggestions
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

bench: ## the same load on FlockMQ and on its peers; ONLY=scenarios, ROUNDS=n
	@tools/setup.sh bench
	@tools/bench.sh

bench-guard: ## instruction counts of the hot path against the table in the repository
	@tools/setup.sh bench
	$(CARGO) build --release --locked -p flockmq-bench
	@. tools/lib.sh && "$$(target_dir)/release/emqx_bench" guard

sim: ## the simulated cluster: SEED=n repeats one run, SEEDS=n runs so many
	$(CARGO) run --release --locked -q -p flockmq-sim -- $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS))

soak: release ## the long runs: ROUNDS=20 of each split, SECS=600 of each packet loss, SEEDS=100000 of the simulation; notes them in docs/soak.md
	@tools/setup.sh lab
	@tools/soak.sh

fuzz: ## each fuzz target for SECONDS=n; SEED=n begins elsewhere
	SECONDS=$(FUZZ_SECONDS) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --profile fuzz --locked -p flockmq-mqtt -p flockmq-broker -p flockmq-server --test fuzz -- --nocapture --test-threads=1
	SECONDS=$(FUZZ_SECONDS) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --profile fuzz --locked -p flockmq-server --lib -- api::fuzz --nocapture --test-threads=1

docs: ## writes the generated reference pages
	@tools/docs.sh
