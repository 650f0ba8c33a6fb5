# `make demo` shows Weir; `make test` is all that CI runs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: demo
demo: ## two tenants, served: builds in release and says what to try
	@config/examples/demo.sh

.PHONY: test
test: tools lint ## lints and every test; installs what they need
	cargo test --workspace --doc --quiet
	cargo nextest run --workspace

.PHONY: test-stock
test-stock: tools ## tests that need an API server, at a stock one with RBAC: KUBEBUILDER_ASSETS=DIR of kube-apiserver and etcd
	@test -x "$(KUBEBUILDER_ASSETS)/kube-apiserver" || { echo "KUBEBUILDER_ASSETS: no kube-apiserver in '$(KUBEBUILDER_ASSETS)'" >&2; exit 1; }
	cargo test --package weir --tests --no-run --quiet
	unshare --net sh -euc 'ip link set lo up; ip route add local 198.18.0.0/15 dev lo; exec "$$@"' sh \
	  env WEIR_STOCK_API_SERVER="$(KUBEBUILDER_ASSETS)" cargo nextest run --package weir --offline --no-fail-fast --test-threads 2 -E '$(STOCK)'

# Every test that has an API server.
STOCK = test(/^(asleep|chart::(install|pods|used)|clock_steps|gateway_services|kubernetes|replicas|status|token_review)::/)

.PHONY: tools
tools: ## what the tests need beside a Rust toolchain
	@tests/tools/install.sh

.PHONY: lint
lint: ## formatting, clippy, licences and duplicate crates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@# What other platforms' builds would need is judged too.
	cargo fetch --locked --quiet
	cargo deny --offline --log-level error check bans licenses sources

.PHONY: soak
soak: ## long fuzzing and chaos: SECONDS_EACH=600 for each test
	WEIR_SOAK_SECONDS=$${SECONDS_EACH:-600} cargo nextest run --workspace --profile soak -E 'test(/soak_|no_failed_request/)'

.PHONY: bench
bench: ## Weir beside nginx, HAProxy and Envoy, 45 minutes: docs/benchmarks.md anew; QUICK=1: 5, target/bench
	@tests/tools/install.sh && load-tests/tools.sh
	cargo build --release -p weir -p weir-load-tests
	target/release/weir-load-tests race $(if $(QUICK),--quick --out target/bench,--out docs)

.PHONY: bench-edits
bench-edits: ## edits in fleets of 100 to 10,000 tenants, 12 minutes: docs/control-plane-benchmarks.md anew; QUICK=1: 6, target/bench
	cargo build --release -p weir -p weir-load-tests
	target/release/weir-load-tests edits $(if $(QUICK),--quick --out target/bench,--out docs)

.PHONY: bench-routes
bench-routes: ## new routes among 1,000 to 10,000 with ListenerSets, and a leader killed, 15 minutes: docs/route-scale.md anew; QUICK=1: 6, target/bench
	@tests/tools/install.sh
	cargo build --release -p weir -p weir-load-tests
	target/release/weir-load-tests routes $(if $(QUICK),--quick --out target/bench,--out docs)

# Weir's edge twice, and a stock Envoy; EDGE or TENANCY alone choose one run, TEST some tests, without a report.
CONFORMANCE_RUNS = $(if $(EDGE)$(TENANCY)$(TEST),$(or $(EDGE),weir):$(or $(TENANCY),system),weir:system weir:tenants envoy:system)

.PHONY: conformance
conformance: ## the Gateway API's suite against release builds: docs/conformance anew; EDGE=weir|envoy TENANCY=system|tenants TEST=NAME
	@tests/tools/install.sh
	cargo test --release -p weir --test conformance --no-run
	@for run in $(CONFORMANCE_RUNS); do \
	  WEIR_CONFORMANCE_EDGE=$${run%:*} WEIR_CONFORMANCE_TENANCY=$${run#*:} WEIR_CONFORMANCE_TEST=$(TEST) \
	  WEIR_CONFORMANCE_OUT=$(if $(TEST),,$(CURDIR)/docs/conformance) \
	  cargo test --quiet --release -p weir --test conformance -- --ignored --exact whole_suite --nocapture || exit 1; done

.PHONY: golden
golden: ## rewrite golden files from what the code does now; review the diff
	WEIR_REGENERATE=1 cargo nextest run --workspace -E 'binary(golden) or test(/crds|descriptors|golden/)'
