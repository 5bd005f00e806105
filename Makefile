# Two commands do all the set-up: `make acceptance` judges the story, `make test` runs the suite's own tests.
UV_VERSION := 0.13.9
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: acceptance test mutations lint clean

# The way in (IngressRoute and Certificate) is declared, and has no scenario yet; nothing else is waived.
acceptance: $(VENV)/.ready
	$(BIN)/pytest features/ --waive "way-in=no scenario for the IngressRoute and the Certificate is built yet"

test: lint
	$(BIN)/signoff prepare
	$(BIN)/pytest tests/ -n 3 --dist loadscope --no-loadscope-reorder --durations 15  # the mutations keep two processes busy, most of it waiting

# Every mutation against every feature: half an hour. `make test` runs the features that each is about.
mutations: $(VENV)/.ready
	$(BIN)/pytest tests/mutations --every-feature

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
