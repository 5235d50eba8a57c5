# Targets are what CI runs; see README.md. Only Go and make are needed to
# start: what else the tests talk to is installed by `make deps`.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X ingot/internal/cli.version=$(VERSION)
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

export CGO_ENABLED := 0

.PHONY: build quickstart deps test lint cross fuzz crash bench clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ingot ./cmd/ingot

# Everything from a fresh clone to a golden image.
quickstart: build
	./test/env/deps quickstart
	./examples/quickstart/run

# Installs and starts the engines that the live tests talk to.
deps:
	./test/env/deps
	./test/env/up

# lint, all tests, and the programs for all platforms.
test: lint deps cross
	$(GO) test -timeout 30m ./...

lint:
	@files=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$files" || { echo "gofmt would change: $$files"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Every platform builds; those that the host is not are vetted too.
cross:
	@for p in $(PLATFORMS); do \
	  echo "build and vet $$p"; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./cmd/ingot && \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./... || exit 1; \
	done

# Feeds arbitrary bytes to the readers of templates: the targets in
# test/fuzz/targets, FUZZTIME (60s) each, two at a time.
fuzz:
	./test/fuzz/run

# The whole crash matrix, of which each run of the tests does a part, and the table
# of its results in docs/reliability.md. It takes about an hour.
crash: deps
	INGOT_CRASH_PART=all $(GO) test -timeout 3h ./test/crash -update

bench: build deps
	./test/bench/run

clean:
	rm -rf bin dist
