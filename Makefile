# All set-up happens by itself, once: `make run` and `make test` work in a fresh clone on a fresh Debian.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# More words for the command: make run ARGS="--listen udp:127.0.0.1:5070", make test ARGS=tests/sip
ARGS   ?=
CONFIG := $(wildcard sipsilo.toml)
# What tests and bench start themselves, for tools/need.
DATABASES := mariadbd=mariadb-server '/usr/lib/postgresql/*/bin/postgres=postgresql'
KAMAILIO  := kamailio=kamailio '/usr/lib/*/kamailio/modules/db_mysql.so=kamailio-mysql-modules' \
	'/usr/lib/*/kamailio/modules/db_postgres.so=kamailio-postgres-modules'

.DEFAULT_GOAL := help
.PHONY: help run test check bench compiler

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: $(VENV)/.run ## start the server (with sipsilo.toml if there is one; data: silo.db beside it)
	@exec $(BIN)/sipsilo run $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

test: $(VENV)/.dev ## run all tests (HYPOTHESIS_PROFILE=nightly: 100,000 examples each)
	@tools/need sipp=sip-tester baresip=baresip-core sipsak=sipsak $(DATABASES) $(KAMAILIO)
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## look at the code: ruff, mypy --strict, the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

bench: compiler $(VENV)/.dev ## measure sipsilo beside Kamailio on this machine
	@tools/need $(DATABASES) $(KAMAILIO)
	$(BIN)/python bench/compare.py $(ARGS)

compiler:
	@tools/need gcc=gcc /usr/include/stdio.h=libc6-dev \
		"$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h=python3-dev"

# Each stamp is older than what it was made of when that has changed. With a C compiler and Python's headers the
# package is compiled (see pyproject.toml), which takes a minute.
SOURCES := $(shell find src -name '*.py')

$(VENV)/.run: pyproject.toml $(SOURCES) | $(BIN)/python
	@tools/install $(BIN)/python
	@touch $@

$(VENV)/.dev: pyproject.toml $(SOURCES) | $(BIN)/python
	@tools/install $(BIN)/python dev
	@touch $(VENV)/.run $@

# Debian keeps ensurepip, without which a virtual environment has no pip, in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/need ensurepip=python3-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is too old: sipsilo needs Python 3.11 or newer (make PYTHON=python3.12 …)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
