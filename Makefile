# Everything a newcomer and the continuous integration call. Needs Python 3.11 or newer, make, and a package index.

PYTHON ?= python3
PORT ?= 8000
FILES_PORT ?=
STATE ?= .local
STAGE ?=
DEPLOY ?=
WORKERS ?= 2
TESTS ?= tests
MINUTES ?= 15
SOAK_TASKS ?= 300

VENV := .venv
BIN := $(VENV)/bin

FUNCTION ?=

# A Python that is asked for packages, and is then Lambda's runtime; otherwise the newest one that can.
PACKAGE_WITH := $(if $(filter command environment,$(firstword $(origin PYTHON))),--python $(PYTHON))

.PHONY: help run logs unit test format check bench soak package deploy replay redrive lock clean venv

help:
	@echo "make run [PORT=8000] [FILES_PORT=8001] [STATE=.local]"
	@echo "                                      the stack on this machine, with sample data"
	@echo "make logs [FUNCTION=work]             what the functions of that stack wrote"
	@echo "make unit                             the fast tests: no server, under a minute"
	@echo "make test [TESTS=tests/queue]         all tests, or those of a folder"
	@echo "make format                           format the code, sort imports"
	@echo "make check                            format, lint, types, template"
	@echo "make bench                            the figures"
	@echo "make soak [MINUTES=15]                the stack under random acts and kills, then a proof by its API alone"
	@echo "make lock                             pin what the layer holds anew, after requirements.txt changed"
	@echo "make package STAGE=prod               what is deployed, in build/prod; PYTHON=python3.12 is then the runtime"
	@echo "make deploy STAGE=prod                package and deploy to AWS"
	@echo "make replay STAGE=prod                hand events that fire gave up on over again"
	@echo "make redrive STAGE=prod               send dead letters to work again"
	@echo "make venv                             the virtual environment with all that developing needs"
	@echo "make clean                            remove what the others made, but no state"
	@echo "make help                             this list"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit("Carillon needs Python 3.11 or newer, not " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Running needs a few packages only, so that the first start is quick; everything else needs all of them.
$(VENV)/runs: infra/local/requirements.txt requirements.txt | $(VENV)/made
	@echo "Installing what running needs …"
	@$(BIN)/python -m pip install --disable-pip-version-check -r infra/local/requirements.txt
	@touch $@

$(VENV)/develops: requirements-dev.txt infra/local/requirements.txt requirements.txt | $(VENV)/made
	@echo "Installing what developing needs …"
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt -r infra/local/requirements.txt
	@touch $(VENV)/runs $@

venv: $(VENV)/develops

run: $(VENV)/runs
	@exec $(BIN)/python -m infra.local --port $(PORT) $(addprefix --files-port ,$(FILES_PORT)) --state $(STATE)

logs: $(VENV)/runs
	@$(BIN)/python -m infra.local.logs --state $(STATE) $(addprefix --function ,$(FUNCTION))

unit: $(VENV)/develops
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m unit $(TESTS)

test: $(VENV)/develops
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

format: $(VENV)/develops
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

check: $(VENV)/develops
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m infra.lint

lock: $(VENV)/develops
	$(BIN)/python -m infra.layer

soak: $(VENV)/develops
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) --tasks $(SOAK_TASKS)

bench: $(VENV)/develops
	@set -e; for each in tests/bench/bench_*.py; do echo "== $$each"; $(BIN)/python "$$each"; done

package:
	@test -n "$(STAGE)" || { echo "say which stage: make package STAGE=prod" >&2; exit 2; }
	@$(PYTHON) -m infra.package --stage $(STAGE) $(PACKAGE_WITH)

deploy: $(VENV)/runs package
	@$(BIN)/python -m infra.deploy --stage $(STAGE) $(DEPLOY)

replay: $(VENV)/runs
	@test -n "$(STAGE)" || { echo "say which stage: make replay STAGE=prod" >&2; exit 2; }
	@$(BIN)/python -m infra.replay --stage $(STAGE)

redrive: $(VENV)/runs
	@test -n "$(STAGE)" || { echo "say which stage: make redrive STAGE=prod" >&2; exit 2; }
	@$(BIN)/python -m infra.redrive --stage $(STAGE)

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.local/*' -prune -exec rm -rf {} +
