# The only door: every way to build, test and measure the project is a target here.
.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-softhsm build install uninstall test interop bench bench-interop bench-engines fuzz lint clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

quickstart: ## from nothing to a token with two keys, two signatures and what to type next
	@scripts/quickstart.sh

quickstart-softhsm: ## the same with a private SoftHSM token: an ML-DSA key sealed by it, an Ed25519 key in it
	@scripts/quickstart-softhsm.sh

build: ## the release module and command, in target/release/
	@scripts/build.sh

install: ## the module and command for every user of this machine, after build (PREFIX=/usr/local, DESTDIR=)
	@scripts/install.sh install

uninstall: ## takes away what install put there
	@scripts/install.sh uninstall

test: ## every test that runs on this machine, with the clients of the distribution
	@scripts/test.sh

interop: build ## the newest clients, in a Debian root file system of their own (needs root)
	@tests/interop/run.sh

bench: build ## operations per second beside the raw engine, and the modules installed here (BENCH="options")
	@scripts/bench.sh $(BENCH)

bench-interop: build ## the same beside Kryoptic and the newest SoftHSM, in the root file system of interop (BENCH="options")
	@cargo build --quiet --release -p trellis-benches
	@tests/interop/bench.sh $(BENCH)

bench-engines: ## ML-DSA engines that are no part of Trellis beside AWS-LC (TURNS=20)
	@scripts/engines.sh bench $(TURNS)

fuzz: ## every fuzz target for a while (FUZZ_SECONDS=60)
	@scripts/fuzz.sh $(FUZZ_SECONDS)

lint: ## formatting, clippy, dependencies, shell scripts
	@scripts/lint.sh

clean: ## what was built here; the cache outside the tree stays
	@cargo clean
	@rm -rf fuzz/artifacts fuzz/target
