# `make` lists the targets. Everything is installed into .venv; nothing outside this folder but caches is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)

.PHONY: help install demo test acceptance stories beside exact check format lint types imports schemas reference screenshots clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

install: $(VENV)/.ready ## install everything into .venv

demo: $(VENV)/.ready ## a bad canary is rolled back, a healthy one goes to 100 %: real MCP, Envoy and Kafka, about two minutes
	@$(BIN)/davylamp demo

test: $(VENV)/.ready ## all tests of the default run (one rollback and one promotion on real Kafka and Envoy among them)
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

COUNTING := $(addprefix tests/acceptance/test_,exact.py exact_stamps.py dead_letters.py otel_bridge.py)
STORIES := $(addprefix tests/acceptance/test_,faults.py evidence.py control.py)

acceptance: $(VENV)/.ready ## everything on real Kafka and Envoy, faults and counting side by side: about 16 minutes on two idle cores, up to twice as long on busy ones
	@echo "two lanes side by side for a quarter of an hour, on a busy machine for longer; each shows its tests when it has ended"
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target stories beside

# In these the clock matters, so they are told one after the other, and never wait for a turn behind the other lane.
stories:
	$(BIN)/pytest $(STORIES) -m acceptance

# These wait for nobody's clock: at a lower priority they take what the stories leave, the counting first.
beside:
	nice -n 10 $(BIN)/pytest $(COUNTING) $(filter-out $(COUNTING) $(STORIES),$(wildcard tests/acceptance/test_*.py)) -m acceptance

exact: $(VENV)/.ready ## only the counting: 200,000 events through faults on real Kafka; EXACT_EVENTS=20000 looks shorter
	$(BIN)/pytest $(COUNTING) -m acceptance -s

check: format lint types imports test ## the one gate: format, lint, types, import contracts, tests

format: $(VENV)/.ready ## format the code
	$(BIN)/ruff format .

lint: $(VENV)/.ready ## lint
	$(BIN)/ruff check .

types: $(VENV)/.ready ## mypy, strict, code and tests
	$(BIN)/mypy

imports: $(VENV)/.ready ## the import contracts
	$(BIN)/lint-imports

schemas: $(VENV)/.ready ## write the JSON Schemas and the machine's table from the code
	$(BIN)/python -m schemas.generate

screenshots: $(VENV)/.ready ## write the pictures of docs/screenshots (needs chromium and fonts-inter)
	$(BIN)/python scripts/screenshots.py

reference: $(VENV)/.ready ## write the reference pages from commands, models, topics and the API
	$(BIN)/python -m cli.reference

clean: ## remove the environment and every generated file
	rm -rf $(VENV) .davylamp .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.ready: pyproject.toml sdk/pyproject.toml uv.lock scripts/preflight.sh
	@PYTHON=$(PYTHON) sh scripts/preflight.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv sync --quiet --frozen --inexact --compile-bytecode --all-extras --all-groups
	@$(BIN)/python -m compileall -q schemas transport streams judge router alerts status cli demo sdk/src
	@touch $@
