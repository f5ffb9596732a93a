# Everything that is done with this tree. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MODULE := github.com/tidegate/tidegate
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X $(MODULE)/internal/process.version=$(VERSION)
GO ?= go
# Flags of benchmarks/compare, such as COMPARE='--rounds 5 --duration 4s'.
COMPARE ?=
# Flags of benchmarks/edge, such as EDGE='--only refusals --rounds 3'.
EDGE ?=
# Flags of benchmarks/consumer, such as CONSUMER_BENCH='--only sqlite --rows 100000 --backlog 500000'.
CONSUMER_BENCH ?=
# RACE=1 builds the binaries with the race detector: for make test-kafka, which fails on what it finds.
RACE ?=
GOBUILD = $(if $(RACE),GO="$(GO)" .ci/race build,$(GO) build)
# The profile by which bin/gateway is compiled, see .ci/profile. Without it the first build takes a minute less. It is not called
# default.pgo, as go test would compile everything once more for the tests of ./gateway.
PGO ?= gateway/gateway.pgo
# How often acceptance kills the gateway.
KILLS ?= 20
# Packages whose tests start the real binaries; the others need nothing but Go.
E2E := ./benchmarks/acceptance/...
UNIT = $$($(GO) list ./... | grep -v benchmarks/acceptance)

help: ## list every target
	@awk -F ':.*## ' '/^[a-z][a-zA-Z_-]*:.*## /{printf "%-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run test: PGO = # who sees it for the first time does not wait for it
run: build ## everything on this machine with an embedded broker and a demo; Ctrl-C stops it
	bin/local --demo

build: ## bin/gateway bin/consumer bin/local bin/load
	@mkdir -p bin
	$(GOBUILD) -pgo=$(or $(if $(RACE),,$(PGO)),off) -trimpath -ldflags '$(LDFLAGS)' -o bin/gateway ./gateway
	$(GOBUILD) -trimpath -ldflags '$(LDFLAGS)' -o bin/consumer ./consumer
	$(GOBUILD) -trimpath -ldflags '$(LDFLAGS)' -o bin/local ./deploy/local
	$(GOBUILD) -trimpath -ldflags '$(LDFLAGS)' -o bin/load ./benchmarks/load

test: build ## all tests with an embedded broker: packages with the race detector, crash and fault loops, then the real binaries end to end but for acceptance's longest
	GO="$(GO)" .ci/race test -p 3 -timeout 30m $(UNIT)
	$(GO) test -timeout 10m ./gateway/internal/socket ./gateway/internal/receive # under the race detector they make other system calls
	.ci/torture
	$(GO) test -count=1 -timeout 30m -skip '^TestProof(Topic|Flood|Disk|Machine|Stalled|Rolling)' $(E2E)

torture: ## crash and fault loops of the gateway for as long as asked: DURATION=10m SEED=7 (a seed that failed comes first)
	.ci/torture $(or $(DURATION),10m) $(SEED)

test-postgres: ## what is stored and the consumer's tests over a real PostgreSQL, started here as nobody in a folder of its own, with the race detector
	.ci/test-postgres

test-kafka: build ## the end-to-end tests against real Apache Kafka, three nodes: plaintext, then SASL_SSL with ACLs; RACE=1: under the race detector; most faults are acceptance's
	.ci/test-kafka plaintext -skip '^TestProof'
	.ci/test-kafka sasl_ssl -skip '^Test(Proof([^G]|Gateway[^K])|BadBodies|LegalBodies|Silent|Rotations|Botched|SourceBehind)' # whose ways to Kafka are the same

test-rules: ## Prometheus' rules: checked, and each alert played minute by minute, with Debian's promtool
	.ci/promtool check rules deploy/prometheus/rules.yml
	.ci/promtool test rules deploy/prometheus/rules_test.yml

acceptance: build ## the proof: every fault scenario against three nodes of real Apache Kafka, as one table, also in benchmarks/results; KILLS=1000
	KILLS='$(KILLS)' .ci/acceptance

fuzz: ## any bytes over whole connections into the gateway's server, and how many inputs there were: DURATION=15m PARALLEL=2
	.ci/fuzz $(or $(DURATION),5m) $(PARALLEL)

mutants: ## break each promise on purpose, one at a time: a named test fails for each; ONLY=name,name for some
	$(GO) run ./.ci/mutants -only '$(ONLY)'

check: .tools/golangci-lint .tools/govulncheck ## format, vet (Linux and Darwin), lint with the import arrows, tidy modules, mutants that fit the code, known vulnerabilities
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	.tools/golangci-lint run ./...
	$(GO) test ./.ci/mutants
	.ci/vulnerabilities

compare: build ## the gateway at each ack level beside handlers that only answer, Kafka away, there and returning, and a table of the goals, into benchmarks/results; 15 minutes
	.ci/compare $(COMPARE)

edge: build ## what floods, refusals, reloads under load and slow connections cost the gateway and the honest, into benchmarks/results; 7 minutes
	.ci/edge $(EDGE)

bench-consumer: build ## the consumer at five million rows and as many waiting alarms, over SQLite and PostgreSQL, to an Alertmanager, through rebalances, and a table of the goals, into benchmarks/results; 14 minutes
	.ci/bench-consumer $(CONSUMER_BENCH)

day: ## a day of 300 apps and 400,000 callbacks through Kafka, PostgreSQL and Alertmanager while consumers are killed, stopped and added, held to a computation of its own; 7 minutes
	.ci/day

test-alertmanager: ## the sample for Alertmanager checked; notices arrive, stand, inhibit and resolve in a real one, Debian's, started here on loopback, with the race detector
	.ci/alertmanager

forecast: build ## how early and how exactly exhaustion is predicted in generated periods, into benchmarks/results
	.ci/forecast

profile: build ## renew the profile by which the compiler optimises the gateway, after a change to the hot path; 2 minutes
	.ci/profile

bench: build ## figures of this machine into benchmarks/results: compare, the parts over their baselines, memory, the packages; 20 minutes
	.ci/bench $(COMPARE)

tidy: ## bring go.mod and go.sum up to date
	$(GO) mod tidy

clean: ## remove what was built and the data of local runs
	rm -rf bin data .tools

# Development tools are pinned in .ci/tools.mod, apart from the product's go.mod.
.tools/golangci-lint: .ci/tools.mod
	@mkdir -p .tools
	$(GO) build -modfile=.ci/tools.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
.tools/govulncheck: .ci/tools.mod
	@mkdir -p .tools
	$(GO) build -modfile=.ci/tools.mod -o $@ golang.org/x/vuln/cmd/govulncheck

.PHONY: help run build test torture test-postgres test-kafka test-rules test-alertmanager day acceptance fuzz mutants check compare edge bench-consumer forecast profile bench tidy clean
