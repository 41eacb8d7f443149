# Every target is one call of the development program; `cargo run -p goodgo-e2e -- --help` teaches the rest.
# Built with the whole workspace's features: the tests then find the same dependencies compiled.
GOODGO_DEV = @e2e/bootstrap && cargo build --locked --workspace --bin goodgo-dev && $(or $(CARGO_TARGET_DIR),target)/debug/goodgo-dev
.DEFAULT_GOAL = help
.PHONY: help demo down status test lint generate soak bench-runtime

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## A real cluster, the operator, the example platform and a call through it (CLUSTER=current: your own cluster)
	$(if $(filter-out current,$(CLUSTER)),$(error CLUSTER=$(CLUSTER) is unknown: leave it out for a cluster of this machine's own, or say CLUSTER=current for the one of your kubeconfig))
	$(GOODGO_DEV) demo $(if $(CLUSTER),--current)

down: ## End the demo's cluster and remove every trace of it
	$(GOODGO_DEV) down

status: ## Show this machine's clusters, their parts and what is left behind
	$(GOODGO_DEV) status

test: ## Every tier: lints, unit, API server, real pods
	$(GOODGO_DEV) test

lint: ## Format, lints, and what dependencies may be
	$(GOODGO_DEV) test --tier 0
	$(GOODGO_DEV) deny

generate: ## Write every generated file again (a test fails on drift)
	@e2e/bootstrap && UPDATE_GOLDEN=1 cargo test --quiet --workspace --exclude goodgo-e2e drift

soak: ## Dependencies, random inputs by the million, and defects put in on purpose; results go to docs/soak.md
	$(GOODGO_DEV) soak

bench-runtime: ## The runtime beside Envoy, nginx, HAProxy and daprd, with docs/benchmarks.md as the result
	@e2e/bootstrap && cargo run --release --locked -p goodgo-e2e -- bench runtime
