# The commands of this project. Each creates what it needs; nothing has to be done before.
#   make demo    deploy twenty VMs on the simulator, and look at them
#   make demo-libvirt    two guests on the libvirt of this machine, from nothing to nothing (docs/libvirt.md)
#   make test    every test
#   make check   what CI checks besides: format, lint, types, the import rule
#   make bench   the benchmarks, at sizes that take some minutes
#   make bench-full    all of them, at the sizes that their targets are about: an hour or more
#   make fuzz    a million events of the lifecycle, shaken until it breaks

VENV ?= .venv
BIN := $(VENV)/bin

# The first Python that is new enough. A version manager may have a name on the path that does not run: try it.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$each -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)

.PHONY: demo demo-libvirt test check bench bench-full fuzz clean

demo: $(VENV)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh .demo

demo-libvirt: $(VENV)/.installed-libvirt
	env $$($(BIN)/python -m tests.guest_image) PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo-libvirt.sh .demo-libvirt

# Three at once on two cores: many tests wait for guests, servers and processes.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 3 $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks --full $(ARGS)

fuzz: $(VENV)/.installed
	$(BIN)/interlock fuzz --events 1000000 $(ARGS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Interlock needs Python 3.11 or newer with venv; none was found on the path." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-libvirt: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[libvirt]'
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .demo .demo-libvirt dist build
