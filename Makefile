# `make help` lists the verbs. From a fresh clone `make run` and `make test` do everything that is needed.

SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
SOURCES := gateway scripts tests migrations

.DEFAULT_GOAL := help
.PHONY: help setup run dev demo test test-all check fix lock migrate revision db shell bench bench-goodput conformance docs clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv; costs nothing the second time

$(STAMP): requirements.lock requirements-uv.lock scripts/setup.sh
	@sh scripts/setup.sh "$(VENV)"

run: $(STAMP) ## serve on http://127.0.0.1:8080 with an embedded Postgres (ARGS="--port 9000" is passed on)
	@exec $(PY) -m gateway serve $(ARGS)

dev: $(STAMP) ## serve with one worker and debug logs
	@GATEWAY_LOG_LEVEL=$${GATEWAY_LOG_LEVEL:-debug} exec $(PY) -m gateway serve --workers 1 $(ARGS)

demo: $(STAMP) ## watch the rotation at work, without an API key
	@exec $(PY) scripts/demo.py $(ARGS)

# Four at once on two cores: many tests wait for a process or a limit. Byte code is kept whatever the environment says:
# without it each of the processes that tests start compiles everything anew, for seconds. Who runs out of tests takes
# half of another's, so that few share the fixtures of one module.
test: $(STAMP) ## all tests (ARGS="tests/unit -k name" picks some)
	@PYTHONDONTWRITEBYTECODE= exec $(PY) -m pytest -n 4 --dist worksteal $(if $(shell test -w . || echo closed),-p no:cacheprovider) $(ARGS)

test-all: ## all tests on every Python from 3.11 to 3.13 that is installed
	@sh scripts/test_all.sh "$(VENV)"

check: $(STAMP) ## linters, types, layers, sizes, lock: what CI runs besides the tests
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(PY) scripts/check_lock.py
	$(PY) scripts/check_sizes.py
	$(PY) scripts/check_docs.py

fix: $(STAMP) ## repair what the linters can repair
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

lock: $(STAMP) ## write requirements.lock anew from pyproject.toml
	@sh scripts/lock.sh "$(VENV)"

migrate: $(STAMP) ## bring the database to this release's schema
	@exec $(PY) -m gateway migrate

revision: $(STAMP) ## a new, empty migration: make revision m="add colour to accounts"
	@exec $(PY) scripts/new_revision.py "$(m)"

db: $(STAMP) ## psql on the database in use
	@exec $(PY) -m gateway db shell

shell: $(STAMP) ## a Python prompt that knows await
	@exec $(PY) -m asyncio

bench: $(STAMP) ## CPU per call beside nginx and the direct call
	@exec $(PY) scripts/bench.py $(ARGS)

bench-goodput: $(STAMP) ## what is served of the accounts' limits, and what is wasted, beside plain rotations
	@PYTHONPATH=. exec $(PY) scripts/goodput.py $(ARGS)

conformance: $(STAMP) ## the API tests of OpenAI's SDK, directly and through a gateway (fetches them; ARGS="-k files")
	@exec $(PY) scripts/conformance/run.py $(ARGS)

docs: $(STAMP) ## check that links in the documentation lead somewhere
	$(PY) scripts/check_docs.py

clean: ## remove caches; .venv and the data under .gateway stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage
	find gateway tests scripts migrations -name __pycache__ -type d -prune -exec rm -rf {} +
