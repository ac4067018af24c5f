# SPDX-License-Identifier: Apache-2.0
#
# make demo    installs what it needs, builds, brings up the lab cluster, breaks it and shows what happened
# make test    installs what it needs and runs everything, with the time of each part
#
# make build, then as root: make install (a member), make install-mgmt (management); make uninstall, make uninstall-mgmt.
#              PREFIX=/usr/local and DESTDIR= as usual. make deb makes Debian packages in out/ instead.
#
# make bench-failover, bench-sync, bench-load, bench-policy and bench-devices take ROUNDS=n and OUT=file.json

GO      ?= go
BIN     := bin
TOOLS   := $(CURDIR)/$(BIN)/tools
LINT    := $(TOOLS)/golangci-lint
LINT_VERSION := v2.15.0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD   := github.com/holdfast-project/holdfast/internal/build
# Without debug tables, which a third of a program would be; tracebacks need none of them.
LDFLAGS := -s -w -X $(BUILD).Version=$(VERSION)
# A member of the next protocol version, for the laboratory's rolling upgrades; and one that works with that version only.
NEXT_LDFLAGS  := -s -w -X $(BUILD).Version=$(VERSION)-next -X $(BUILD).Protocol=2
LATER_LDFLAGS := -s -w -X $(BUILD).Version=$(VERSION)-later -X $(BUILD).Protocol=2 -X $(BUILD).OldestProtocol=2

ROUNDS  ?= 20
OUT     ?= out/bench.json
FUZZTIME ?= 20s

.PHONY: all build install install-mgmt uninstall uninstall-mgmt deb demo test deps generate check-generated lint unit sim lab-test test-guest soak fuzz bench-failover bench-sync bench-load bench-policy bench-devices bench-sim bench-gate clean

all: build

build:
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(NEXT_LDFLAGS)' -o $(BIN)/holdfastd-next ./cmd/holdfastd
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LATER_LDFLAGS)' -o $(BIN)/holdfastd-later ./cmd/holdfastd
	@for name in cphaprob cphaconf; do ln -sfn holdfast $(BIN)/$$name; done

# These do not build: root need not have the tools. What is given on the command line (PREFIX, DESTDIR, ...) is in their environment.
install:
	@scripts/install member

install-mgmt:
	@scripts/install mgmt

uninstall:
	@scripts/install member --remove

uninstall-mgmt:
	@scripts/install mgmt --remove

deb: build
	@scripts/deb out

deps:
	@scripts/deps

demo: deps build
	@$(BIN)/holdfast-lab demo

test: deps
	@scripts/test

generate:
	$(GO) generate ./...

# The objects in the tree are the ones that the pinned clang makes of the sources beside them.
check-generated: generate
	@git diff --exit-code --stat -- '*.o' '*_bpfe*.go' || { echo 'generated BPF differs from its sources: run make generate and commit'; exit 1; }

$(LINT):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

lint: $(LINT)
	$(LINT) run --allow-parallel-runners ./...

# Tests that watch clocks while they run a whole laboratory go one package at a time: side by side they make each other late.
TIMED := lab/bench lab/demo lab/fault lab/generator lab/keepalived lab/members lab/observe lab/pcap lab/prober lab/traffic lab/trial internal/monitor internal/pulse

# The linter has vetted all, and tests need no debugger's tables.
LEAN := -vet=off -ldflags='-s -w'

# Package members/sim has a part of its own: sim. Tests in namespaces of their own mostly wait: more of them at a time than processors.
unit:
	$(GO) test $(LEAN) -parallel 4 $$($(GO) list ./... | grep -v -E '/($(shell echo $(TIMED) members/sim | tr ' ' '|'))(/|$$)')
	$(GO) test $(LEAN) -p 1 $(patsubst %,./%/...,$(TIMED))

sim:
	HOLDFAST_SIM_RUNS=$${HOLDFAST_SIM_RUNS:-10000} $(GO) test -count=1 -timeout 10m ./members/sim/

lab-test: build
	$(BIN)/holdfast-lab run -q --again 2 lab/scenarios/*.txt

# Tests of a whole machine in a Debian guest under qemu: systemd, bonds, VLAN devices, native XDP, Linux 6.1. SUITE=trixie has Linux 6.12;
# RUN= and PACKAGE= run some of the tests.
test-guest:
	@scripts/deps guest
	@scripts/guest "$(or $(SUITE),bookworm)" "$(RUN)" "$(PACKAGE)"

# Longer runs of what make test does in short.
soak: build
	HOLDFAST_SIM_RUNS=100000 $(GO) test -count=1 -timeout 2h ./members/sim/
	HOLDFAST_SIM_RUNS=20000 $(GO) test -count=1 -timeout 2h -run TestSimulation ./dataplane/flow/
	HOLDFAST_SIM_RUNS=100000 $(GO) test -count=1 -timeout 2h -run TestSimulation ./policy/install/
	$(BIN)/holdfast-lab run lab/scenarios/soak/*.txt
	$(MAKE) test-guest

fuzz:
	@scripts/fuzz $(FUZZTIME)

bench-failover: deps build
	@mkdir -p $(dir $(OUT))
	$(BIN)/holdfast-lab bench failover --rounds $(ROUNDS) --out $(OUT)

# State synchronisation beside conntrackd; a round takes some ten minutes.
bench-sync: deps build
	@mkdir -p $(dir $(OUT))
	$(BIN)/holdfast-lab bench sync --rounds $(ROUNDS) --out $(OUT)

# Forwarding, by one gateway and by several that share the load, beside the kernel's own means; a round takes half a minute.
bench-load: deps build
	@mkdir -p $(dir $(OUT))
	$(BIN)/holdfast-lab bench load --rounds $(ROUNDS) --out $(OUT)

# Installs of a large policy beside plain nft, and management with a whole fleet that reports to it; a round takes two minutes.
bench-policy: deps build
	@mkdir -p $(dir $(OUT))
	$(BIN)/holdfast-lab bench policy --rounds $(ROUNDS) --out $(OUT)

# Steps of the simulator a second, on one core and on all: ROUNDS rounds of 400 seeds each.
bench-sim:
	HOLDFAST_SIM_BENCH=$(abspath $(OUT)) HOLDFAST_SIM_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 30m -v -run 'TestBench$$' ./members/sim/

bench-devices: deps build
	@mkdir -p $(dir $(OUT))
	$(BIN)/holdfast-lab bench devices --rounds $(ROUNDS) --out $(OUT)

bench-gate:
	$(GO) test -run '^$$' -bench Gate -benchtime 1x ./bpf/

clean:
	rm -rf $(BIN) out
