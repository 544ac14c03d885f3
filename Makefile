# The two commands of this project are `make run` and `make test`; each sets up what it needs.

CARGO ?= cargo
NPM ?= npm
SPANFALL_ARGS ?=

.PHONY: run build ui test test-ui check fmt fuzz bench clean help

help:
	@echo 'make run     build the web UI and a release binary, and start Spanfall'
	@echo 'make build   the same without the start: target/release/spanfall'
	@echo 'make test    run every test (installs Chromium and SDKs where missing)'
	@echo 'make check   formatting, clippy, the UI'"'"'s types'
	@echo 'make fuzz    each fuzz target for FUZZ_SECONDS (20)'
	@echo 'make bench   measure CPU, memory, disk and latencies with 10 million spans'

run: build
	@echo '==> starting Spanfall; stop it with Ctrl-C'
	@exec target/release/spanfall serve $(SPANFALL_ARGS)

build: ui
	@echo '==> building target/release/spanfall'
	@$(CARGO) build --release --locked -p spanfall

# The UI is built again when one of its sources is newer than what was built.
UI_SOURCES := $(shell find ui/src ui/index.html ui/package.json ui/package-lock.json ui/vite.config.ts ui/tsconfig.json -type f 2>/dev/null)

ui: ui/dist/index.html

ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json
	@echo '==> installing what the web UI is built with'
	@cd ui && $(NPM) ci --no-audit --no-fund
	@touch $@

ui/dist/index.html: ui/node_modules/.package-lock.json $(UI_SOURCES)
	@echo '==> building the web UI'
	@cd ui && $(NPM) run build
	@touch $@

test: ui test-ui
	@echo '==> setting up what the tests need'
	@tests/setup.sh
	@echo '==> building the binary and the tests'
	@# At once: on its own, the binary would be made of other libraries, each of them built twice.
	@$(CARGO) build --locked --workspace --bins --tests --examples
	@echo '==> running the tests'
	@$(CARGO) test --locked --workspace

test-ui: ui/node_modules/.package-lock.json
	@echo '==> running the UI'"'"'s tests'
	@cd ui && $(NPM) run check && $(NPM) test

check: ui
	@echo '==> formatting'
	@$(CARGO) fmt --all --check
	@echo '==> clippy'
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo '==> the binaries without what tests add to their libraries'
	@$(CARGO) check --locked --workspace --bins

FUZZ_SECONDS ?= 20
FUZZ_TARGETS ?= otlp_protobuf otlp_json log_reader traceql api_parameters config formats ottl

# cargo-fuzz asks for unstable compiler flags, which a stable compiler takes with this variable.
fuzz:
	@command -v cargo-fuzz >/dev/null || { echo '==> installing cargo-fuzz'; $(CARGO) install cargo-fuzz --locked; }
	@for target in $(FUZZ_TARGETS); do \
		echo "==> fuzzing $$target for $(FUZZ_SECONDS) s"; \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 || exit 1; \
	done

BENCH_ARGS ?=

bench: build
	@echo '==> building the benchmark'
	@$(CARGO) build --release --locked -p bench
	@target/release/bench $(BENCH_ARGS)

clean:
	$(CARGO) clean
	rm -rf ui/node_modules ui/dist
