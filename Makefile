# Everything a newcomer needs is `make run` and `make test`. Targets call cargo; there is no logic here.

CARGO ?= cargo
FUZZ_TARGETS := request envelope artifact trust registry admit evidence statement note
FUZZ_SECONDS ?= 30
TOOLS := $(CURDIR)/handlers/samples/.tools

.DEFAULT_GOAL := help
.PHONY: help run build runtime-only test handlers page samples samples-test lint fuzz fuzz-seeds audit bench ci

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## Build and serve the demo on http://127.0.0.1:5000 (ledger: ./openexec.db)
	$(CARGO) build --locked --workspace --bins
	target/debug/openexec serve

build: ## Build the optimised binary: target/release/openexec
	$(CARGO) build --locked --release --workspace --bins

runtime-only: ## Build an openexec without a compiler: target/runtime-only/debug/openexec, which starts from a lock only
	$(CARGO) build --locked --package openexec --no-default-features --target-dir target/runtime-only

test: ## Build and run every test
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked --manifest-path handlers/Cargo.toml --workspace

handlers: ## Build the handlers into components and pin their digests in handlers/registry.toml
	$(CARGO) run --locked --manifest-path handlers/Cargo.toml --package pack -- build

page: ## Build the verifier of the page at /verify: host/page/verify.wasm, from core
	$(CARGO) run --locked --manifest-path handlers/Cargo.toml --package pack -- page

samples: ## Install the toolchains of every language (handlers/samples/.tools), and build the samples
	$(CARGO) build --locked --workspace --bins
	handlers/samples/tools.sh
	handlers/samples/build.sh

samples-test: ## Take a new project of every language all the way, test the built samples, measure what each language costs
	$(CARGO) build --locked --workspace --bins
	PATH="$(TOOLS)/npm/node_modules/.bin:$(TOOLS)/python/bin:$$PATH" OPENEXEC_EVERY_LANGUAGE=1 \
		$(CARGO) test --locked --package openexec-tests --test suite languages::
	python3 handlers/samples/test.py

lint: ## Check formatting, lints, licences and sources of dependencies (cargo-deny is installed if missing)
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path handlers/Cargo.toml
	$(CARGO) fmt --all --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) fmt --all --check --manifest-path tests/bare/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --locked --manifest-path handlers/Cargo.toml --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --locked --manifest-path tests/fuzz/Cargo.toml --all-targets -- --deny warnings
	$(CARGO) clippy --locked --manifest-path tests/bare/Cargo.toml --all-targets -- --deny warnings
	$(CARGO) deny --version || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources
	$(CARGO) deny --locked --manifest-path handlers/Cargo.toml --config deny.toml check bans licenses sources
	$(CARGO) deny --locked --manifest-path tests/fuzz/Cargo.toml --config deny.toml check bans licenses sources
	$(CARGO) deny --locked --manifest-path tests/bare/Cargo.toml --config deny.toml check bans licenses sources

fuzz: $(FUZZ_TARGETS:%=fuzz-%) ## Fuzz each parser and admission for FUZZ_SECONDS (cargo-fuzz is installed if missing)

fuzz-seeds:
	$(CARGO) fuzz --version || $(CARGO) install --locked cargo-fuzz
	$(CARGO) run --locked --manifest-path tests/fuzz/Cargo.toml --example seeds

fuzz-%: fuzz-seeds
	$(CARGO) fuzz run --fuzz-dir tests/fuzz --sanitizer none $* -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

audit: ## Check dependencies against the RustSec advisories (needs network)
	$(CARGO) deny --locked check advisories

bench: ## Measure executions/s, latency, CPU and memory of the release build with and without approvals, and its primitives
	$(CARGO) build --locked --release --workspace --bins
	target/release/bench serve --binary target/release/openexec --mode clawshield,demo
	target/release/bench primitives
	target/release/bench start --binary target/release/openexec
	target/release/bench log

ci: lint test ## Exactly what CI runs
