# What a developer of Oversync types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Demo, run, notes and tests share one build. What measures is built for release.
CONFIGURATION ?= debug
BUILD = swift build --traits Server -c $(CONFIGURATION)
BIN = $(shell swift build --traits Server -c $(CONFIGURATION) --show-bin-path)
PROTO_PACKAGES := protobuf-compiler protobuf-c-compiler
# Pools, wait lists, connections, balancers, loops.
TSAN := ^(RPC|Postgres|Readiness|Gateway|Download|ServiceKit|OverSQLite|Compression)(Unit|Integration)Tests$$

.PHONY: help packages identity-provider build test unit tidy-record golden-record tsan integration e2e model client-chaos format lint demo run notes bench bench-smoke slo siege fuzz schemathesis console-test gap restore-drill fork-drill soak docs protos binaries images compose-test clean prometheus observe

help: ## lists the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## (.*)/  \1\t\2/' | expand -t 16

packages: ## installs the system packages that are missing (apt, as root or with sudo)
	@Tools/make/packages.sh

identity-provider: ## installs a real identity provider from PyPI for the tests, which do it by themselves, too
	@Tools/make/identity-provider.sh

prometheus: ## unpacks Debian's Prometheus for the tests of metrics, which do it by themselves, too
	@Tools/make/prometheus.sh

build: packages ## builds everything
	@Tools/make/waiting.sh
	$(BUILD)

test: packages ## all tests: unit, integration on a real PostgreSQL, end to end with all processes
	Tools/make/test.sh

unit: packages ## tests of rules and machines, no processes; and of the source tree itself
	Tools/make/test.sh '(Unit|Tidy)Tests'

tidy-record: packages ## writes down that files break the rules of Tests/TidyTests less often than recorded
	swift build --traits Server --build-tests
	TIDY_RECORD=1 swift test --traits Server --skip-build --filter '^TidyTests\.'

golden-record: packages ## records the generated SQL in Tests/*/Golden, for review
	swift build --traits Server --build-tests
	-GOLDEN_RECORD=1 swift test --traits Server --skip-build --filter '\.Golden'
	swift test --traits Server --skip-build --filter '\.Golden'
	git status --short -- 'Tests/*/Golden' Docs/cli.md

integration: packages ## tests on a real PostgreSQL and real sockets
	Tools/make/test.sh IntegrationTests

e2e: packages ## tests with every service as a process
	Tools/make/test.sh EndToEndTests

tsan: packages ## the targets in which tasks and threads meet, under ThreadSanitizer
	SANITIZE=thread Tools/make/test.sh '$(TSAN)'

model: packages ## the model checks alone: DECISIONS=n without PostgreSQL, then SEEDS=n histories on it
	swift build --traits Server --build-tests
	OVERSYNC_DECIDE_OPERATIONS=$(or $(DECISIONS),3000000) swift test --traits Server --skip-build \
		--filter '^UploadUnitTests\.DecideModelTests'
	OVERSYNC_MODEL_SEEDS=$(or $(SEEDS),200) swift test --traits Server --skip-build --filter '^SyncIntegrationTests\.(Grouped)?ModelTests'

client-chaos: packages ## kills a device at every commit and request, and again on its way back: CHAOS_SEEDS=n scripts (3), and BOX_SEEDS=n on a real stack (100)
	swift build --traits Server --build-tests
	OVERSYNC_CHAOS_SEEDS=$(or $(CHAOS_SEEDS),3) timeout --kill-after=10 1800 \
		swift test --traits Server --skip-build --filter '^DeviceIntegrationTests\.ClientChaosTests'
	OVERSYNC_BOX_SEEDS=$(or $(BOX_SEEDS),100) timeout --kill-after=10 3600 \
		swift test --traits Server --skip-build --filter '^EndToEndTests\.DeviceKilledAmongBoxes'

format: ## formats all Swift
	swift format --in-place --parallel --recursive Package.swift Client Services Shared Tests Tools

lint: packages ## fails on unformatted Swift, or on generated protobuf code that is not up to date
	@Tools/make/packages.sh $(PROTO_PACKAGES)
	swift format lint --strict --parallel --recursive Package.swift Client Services Shared Tests Tools
	Tools/generate-protos.sh --check

demo: build ## the main job on real data: ISO code lists on three devices, through HTTPS; exit 0 if all agree
	$(BIN)/oversync-dev demo

run: build ## the whole stack on a private PostgreSQL under .oversync/, until Ctrl-C
	$(BIN)/oversync-dev dev

observe: build ## the stack of `make run` with Debian's Prometheus, alerts and all, until Ctrl-C; prints the addresses
	@Tools/make/observe.sh $(BIN)

notes: build ## the example app on the stack of `make run`: one person's notes on DEVICE=phone and other devices, offline too
	@$(BIN)/oversync-dev notes --device $(or $(DEVICE),phone)

bench: CONFIGURATION = release
bench: build ## every line of Docs/performance.md beside its floor; options in BENCH, such as BENCH="--seconds 5"
	@Tools/make/packages.sh nginx-light
	@mkdir -p .oversync
	$(BIN)/oversync-dev bench --json .oversync/bench.json --svg .oversync/bench.svg --markdown .oversync/bench.md $(BENCH)

bench-smoke: CONFIGURATION = release
bench-smoke: build ## changes/s and rows/s through the gateway, with each process's share of CPU
	$(BIN)/oversync-dev bench --smoke

slo: CONFIGURATION = release
slo: build ## the objectives of Docs/performance.md on this machine, each beside the bare work; fails if one is missed
	$(BIN)/oversync-dev bench --strict --seconds 5 --only slo-upload,slo-page,slo-first-sync,slo-delivery

siege: CONFIGURATION = release
siege: build ## that no user can hurt another: attacks, and what another user notices; options in SIEGE, such as SIEGE="--only locked-log"
	@mkdir -p .oversync
	$(BIN)/oversync-dev siege --json .oversync/siege.json --markdown .oversync/siege.md $(SIEGE)

fuzz: packages ## libFuzzer on all that reads strangers' bytes: SECONDS=n (600) shared by the entries, or ENTRY="json gzip" alone; SEED=n
	Tools/make/fuzz.sh $(or $(SECONDS),600) $(ENTRY)

schemathesis: build ## schemathesis (PyPI) on openapi.yaml against a private stack: EXAMPLES=n (100) of each operation, SEED=n
	Tools/make/schemathesis.sh $(BIN)

console-test: build ## each page of the console in Debian's chromium, on a private stack: no errors, no violated policy; pictures in .oversync/console
	Tools/make/console-test.sh $(BIN)

gap: CONFIGURATION = release
gap: build ## that readers miss no change of GAP_CHANGES=n (a million); GAP_KILL=1 kills processes meanwhile
	$(BIN)/oversync-dev gap --changes $(or $(GAP_CHANGES),1000000) $(if $(GAP_KILL),--kill)

restore-drill: build ## backs a stack up, restores it to before acknowledged changes, and sees that devices bring them back
	$(BIN)/oversync-dev restore-drill

fork-drill: build ## the same for POINTS=n (100) random moments; an interrupted run goes on where it was
	@mkdir -p .oversync
	$(BIN)/oversync-dev restore-drill --points $(or $(POINTS),100) --record .oversync/fork-drill.jsonl

soak: CONFIGURATION = release
soak: build ## MINUTES=n (60) of real devices on a rough network, with every process killed; all must end equal and nothing may grow
	$(BIN)/oversync-dev soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

docs: packages ## builds the SDK's documentation into .oversync/docs; warnings fail it
	Tools/make/docs.sh

protos: ## generates the Swift and C code of Shared/Protos
	@Tools/make/packages.sh $(PROTO_PACKAGES)
	Tools/generate-protos.sh

binaries: ## the programs of the images into .oversync/binaries: for release, static Swift runtime, stripped
	@Tools/make/packages.sh libcurl4-openssl-dev
	@Tools/make/binaries.sh

images: ## builds the images of Deploy/ and prints their sizes; IMAGES=prebuilt takes what `make binaries` built
	@Tools/make/images.sh $(or $(IMAGES),source)

compose-test: $(if $(filter source,$(IMAGES)),,binaries) ## that the deployment holds: demo, load, kills, restarts, cuts; IMAGES=source compiles in the images
	Deploy/test/compose-test.sh $(or $(IMAGES),prebuilt)

clean: ## removes what was built, and the private stack's data
	rm -rf .build .build-static .build-thread .build-fuzz .oversync
