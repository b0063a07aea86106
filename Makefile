# Everything a newcomer needs is `make run` and `make test`. Targets call cargo; there is no logic here.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help run build test handlers lint audit bench ci

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## Build and serve the demo on http://127.0.0.1:5000 (ledger: ./openexec.db)
	$(CARGO) build --locked --workspace --bins
	target/debug/openexec serve

build: ## Build the optimised binary: target/release/openexec
	$(CARGO) build --locked --release --workspace --bins

test: ## Build and run every test
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked --manifest-path handlers/Cargo.toml --workspace

handlers: ## Build the handlers into components and pin their digests in handlers/registry.toml
	$(CARGO) run --locked --manifest-path handlers/Cargo.toml --package pack -- build

lint: ## Check formatting, lints, licences and sources of dependencies (cargo-deny is installed if missing)
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path handlers/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --locked --manifest-path handlers/Cargo.toml --workspace --all-targets -- --deny warnings
	$(CARGO) deny --version || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources
	$(CARGO) deny --locked --manifest-path handlers/Cargo.toml --config deny.toml check bans licenses sources

audit: ## Check dependencies against the RustSec advisories (needs network)
	$(CARGO) deny --locked check advisories

bench: ## Measure executions/s, latency, CPU and memory of the release build, and its primitives
	$(CARGO) build --locked --release --workspace --bins
	target/release/bench serve --binary target/release/openexec
	target/release/bench primitives

ci: lint test ## Exactly what CI runs
