# danmakud: what can be done here. Plain `make` lists it.
# Needs Go and git. The race detector also needs a C compiler; without one the
# tests run without it and say so.

SHELL := /bin/sh
GO ?= go
FUZZTIME ?= 30s
SOAK ?= 20m
PACKAGES := ./...
FOLDERS := cmd poller wsproto room bench clients

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

HAVE_CC := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo yes)
RACE := $(if $(HAVE_CC),-race)
NO_RACE := $(if $(HAVE_CC),,no C compiler: the tests run without the race detector)

.PHONY: help build run generate test lint vet unit verify soak fuzz bench browser players js compat nats-server conformance deploy-check packages image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build danmakud and the load tool into bin/
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/danmakud ./cmd/danmakud
	$(GO) build -o bin/bench ./bench

run: ## build and run the server; then open http://localhost:8080/
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/danmakud ./cmd/danmakud
	@echo 'danmakud on http://localhost:8080/ (Ctrl-C ends it)'
	@exec bin/danmakud $(ARGS)

generate: ## write what is made from settings, commands and the protobuf schema: docs/configuration.md, example file, man pages, danmaku.pb.go
	$(GO) test -count=1 -run '^TestGenerated' ./cmd/danmakud/internal/config ./cmd/danmakud -update
	$(GO) test -count=1 -v -run '^TestGenerated$$' ./clients/proto/danmaku/v1 -update

test: lint unit verify ## all checks and tests: what CI runs

lint: vet ## gofmt, vet for Linux, darwin and FreeBSD, import rule, shell scripts
	@unformatted=$$(gofmt -l $(FOLDERS)); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) test -run 'TestImportRule|TestNames|TestNoLeftovers|TestFunctionsAreShort' ./cmd/danmakud
	@if command -v shellcheck >/dev/null 2>&1; \
	then shellcheck .ci/run clients/js/test/run.sh .ci/compat/install deploy/check deploy/packages/*.sh && shellcheck -e SC3013 .ci/browser/run.sh; \
	else echo 'skipped: shellcheck is not installed'; fi

vet:
	$(GO) vet $(PACKAGES)
	GOOS=darwin $(GO) vet $(PACKAGES)
	GOOS=freebsd $(GO) vet $(PACKAGES)
	$(GO) vet -tags verify $(PACKAGES)

unit:
	@if [ -n '$(NO_RACE)' ]; then echo '$(NO_RACE)'; fi
	$(GO) test $(RACE) -shuffle=on -timeout 25m $(PACKAGES)
	@$(GO) test $(RACE) -v -run '^TestCable$$' ./cmd/danmakud | sed -n 's/.*\(skipped: .*\)/no link can be spoilt: \1/p'
	@$(GO) test -v -run '^TestGenerated$$' ./clients/proto/danmaku/v1 | sed -n 's/.*\(skipped: .*\)/\1/p'
	@$(GO) test $(RACE) -v -run '^TestFound$$' ./cmd/danmakud/internal/natstest | sed -n 's/.*\(skipped: .*\)/no nodes are joined: \1/p'

# Without the race detector: with the tag each turn takes the locks of rooms, which
# hides races that unit finds, and long computations are whole here that are cut
# short there.
verify: ## tests with the verify tag: loops check their invariants each turn
	$(GO) test -shuffle=on -tags verify ./poller ./room ./cmd/danmakud/internal/server ./cmd/danmakud/internal/moderation
	$(GO) test $(RACE) -shuffle=on -tags verify -run 'TestB[0-9]|Drain|Slow|Vanish|ResetStorm|Soak' ./cmd/danmakud

soak: ## churn for SOAK (20m) with invariants checked each turn, and cut links at the default timeouts
	SOAK=$(SOAK) $(GO) test $(RACE) -count=1 -tags verify -timeout 3h -v -run 'Soak' ./cmd/danmakud

fuzz: ## run every fuzzer for FUZZTIME (30s)
	@set -e; for package in $$($(GO) list $(PACKAGES)); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$name $(FUZZTIME)"; \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$package; \
		done; \
	done

bench: ## micro-benchmarks of the packages; the load tool is bin/bench (make build)
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

browser: ## demo page and dashboard in headless Chromium against a real server
	.ci/browser/run.sh

players: ## Danmaku, ArtPlayer, xgplayer and DPlayer in headless Chromium over our WebSocket
	.ci/browser/run.sh --players

js: ## the JavaScript client: unit, against a real server, types
	clients/js/test/run.sh
	@if command -v npm >/dev/null 2>&1; \
	then cd clients/js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run types; \
	else echo 'skipped: npm is not installed, the types are not checked'; fi

compat: ## WebSocket clients of others against a real server, installed if need be
	.ci/compat/install
	$(GO) test -count=1 -v -run Compat ./cmd/danmakud

nats-server: ## the newest nats-server into out/, which tests then use beside the one in PATH
	@mkdir -p out
	$(GO) build -C .ci/nats -trimpath -ldflags '-s -w' -o ../../out/nats-server github.com/nats-io/nats-server/v2

conformance: ## RFC 6455 and 7692 case by case, in memory and over sockets; prints the groups
	$(GO) test -count=1 -v -run Conformance ./cmd/danmakud/internal/conformance ./cmd/danmakud

deploy-check: ## what is below deploy/: image, chart, unit, packages, by the tools that are there
	deploy/check

packages: ## archives, deb and rpm into out/dist with goreleaser, as a release would have them
	goreleaser release --snapshot --clean --skip=docker,publish

image: ## container image danmakud:latest with docker or buildah
	@mkdir -p out/image/linux/$$($(GO) env GOARCH) out/image/deploy/docker
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags '-s -w $(LDFLAGS)' -o out/image/linux/$$($(GO) env GOARCH)/danmakud ./cmd/danmakud
	cp -R deploy/docker/data out/image/deploy/docker/
	deploy/packages/licenses.sh out/image/out/licenses
	@if docker info >/dev/null 2>&1; then builder='docker build'; else builder='buildah bud --format docker'; fi; \
	$$builder --build-arg TARGETPLATFORM=linux/$$($(GO) env GOARCH) -t danmakud -f deploy/docker/Dockerfile out/image

clean: ## remove what was built
	rm -rf bin out
