# Stowage: every command a person or a pipeline needs. `make help` lists them.
SHELL       := /bin/bash -euo pipefail -c
.SHELLFLAGS :=
.DEFAULT_GOAL := help

STAGE ?= dev
# 1: with the Relational stack; proxy: and with an RDS Proxy, which production has anyway.
RELATIONAL ?= 0
CONTEXT := --context stage=$(STAGE) $(if $(filter 1 proxy,$(RELATIONAL)),--context relational=true) \
	$(if $(filter proxy,$(RELATIONAL)),--context relationalProxy=true)
# Reload functions and infrastructure when their source is saved (dev).
RELOAD ?= 1
$(if $(filter-out 0 1 proxy,$(RELATIONAL)),$(error RELATIONAL is "$(RELATIONAL)": want 0, 1 or proxy))
$(if $(filter-out dev prod,$(STAGE)),$(error STAGE is "$(STAGE)": want dev or prod))
$(foreach f,$(FILES),$(if $(shell test -f '$(f)' && echo yes),,$(error FILES names "$(f)", which is no file)))
TOOLS := $(CURDIR)/.tools
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0

# What the assembly is made from: a change to any of these synthesizes anew.
SOURCES := $(shell find functions shared infra scripts/build \( -name '*.go' -o -name '*.sql' \) -not -name '*_test.go' 2>/dev/null) cdk.json go.mod go.sum

export GOFLAGS += -buildvcs=false
# The CDK library warns at length about Node versions that it runs on well.
export JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION := 1
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20,21,22,23

## help: list the commands
.PHONY: help
help:
	@echo 'Stowage: serverless storage for Go teams on AWS.'
	@echo
	@sed -n 's/^## \([a-z-]*\): \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'
	@echo
	@echo 'Settings: STAGE=dev|prod (synth, deploy, smoke), RELATIONAL=1|proxy (dev, synth, deploy: with the ledger and search), RESET=1 (dev: start from scratch), RELOAD=0 (dev: ignore what is saved), STOWAGE_STATE=.stowage/second STOWAGE_API_PORT=0 STOWAGE_GATEWAY_PORT=0 (dev: beside one that runs), FILES="a.pdf b.png" (demo), ONLY="gateway signing" and SMALL=1 (bench).'

## setup: install what the other commands need (they call it themselves)
.PHONY: setup
setup: node_modules/.package-lock.json
	@./scripts/setup

node_modules/.package-lock.json: package.json package-lock.json
	@echo 'setup: installing the CDK CLI and the local engines from npm'
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

## build: compile every function for Lambda (arm64) into dist/
.PHONY: build
build: setup
	@go run ./scripts/build

## synth: write the CloudFormation templates to cdk.out
.PHONY: synth
synth: cdk.out/manifest.json

# What the assembly is asked for is an input like any other.
STAMP := .tools/stage-$(STAGE)-relational-$(RELATIONAL)
$(STAMP):
	@mkdir -p .tools && rm -f .tools/stage-* && touch $@

cdk.out/manifest.json: $(SOURCES) $(STAMP) | setup
	@echo 'synth: building the functions and synthesizing (stage $(STAGE)); the first build of the CDK library takes about two minutes'
	@./scripts/synth $(CONTEXT)
	@touch $@

## dev: run the whole stack on this machine; saving source reloads what it changes
.PHONY: dev
# A runtime that is in the way is told of before the synthesis, which may take minutes.
dev: setup
	@echo 'dev: building the local runtime'
	@go build -o .tools/stowage-local ./scripts/local
	@RESET=$(RESET) .tools/stowage-local --check
	@$(MAKE) --silent synth
	@RESET=$(RESET) STOWAGE_RELOAD=$(RELOAD) STOWAGE_SYNTH='make --no-print-directory synth STAGE=$(STAGE) RELATIONAL=$(RELATIONAL)' exec .tools/stowage-local

## demo: start the stack, send real files the whole way of an object, print the journey
.PHONY: demo
demo: setup synth
	@echo 'demo: building the local runtime'
	@go build -o .tools/stowage-local ./scripts/local
	@go run ./scripts/demo -local .tools/stowage-local $(foreach f,$(FILES),-file '$(f)')

## test: unit, property, engine-backed, end-to-end and infra tests
.PHONY: test
test: setup synth
	@./scripts/test

## verify: second opinions: cfn-lint, an independent emulator's deploy, API fuzzing
.PHONY: verify
verify: setup synth
	@./scripts/verify/run

## bench: side-by-side benchmarks, as ratios
.PHONY: bench
bench: setup
	@SMALL='$(SMALL)' ./scripts/bench/run $(ONLY)

## lint: golangci-lint (with the import directions) and govulncheck
.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
	@$< run ./...
	@./scripts/vulncheck $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)

$(TOOLS)/golangci-lint-%:
	@echo 'lint: building golangci-lint $* (once)'
	@GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$*
	@mv $(TOOLS)/golangci-lint $@

$(TOOLS)/govulncheck-%:
	@echo 'lint: building govulncheck $* (once)'
	@GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$*
	@mv $(TOOLS)/govulncheck $@

## deploy: deploy to the AWS account of your credentials
.PHONY: deploy
deploy: setup synth
	@node_modules/.bin/cdk deploy --all --app cdk.out --outputs-file .stowage/outputs-$(STAGE).json

## smoke: the demo's journey against a deployed stage
.PHONY: smoke
smoke: setup
	@go run ./scripts/demo -outputs .stowage/outputs-$(STAGE).json $(foreach f,$(FILES),-file '$(f)')

## clean: remove what was built and the local state
.PHONY: clean
clean:
	@rm -rf dist cdk.out .stowage .tools
