# Each target works in one word on a fresh clone: it makes .venv, gets libzmq and builds what is
# missing or out of date. GNU make 3.81 (macOS) is enough.
#
#   make test ARGS="-k close -x"          arguments for what is run
#   make test ARGS="-n0"                  one test after the other, in one process
#   make test PYTHON=python3.13 VENV=.venv-3.13
#
#   make test LIBZMQ=own                  with a libzmq as in the wheels (tools/own_libzmq.sh)
#
# RATCHET_ZMQ_PREFIX and RATCHET_ZMQ_STATIC choose the libzmq, RATCHET_DEBUG has the extension count
# what it opens (see setup.py).

# Benchmarks that compare run on a Python that has the newest releases of all peers, if one is here.
COMPARING := bench bench-full bench-threads bench-asyncio bench-waits bench-proxy bench-connections scale
ifneq ($(filter $(COMPARING),$(MAKECMDGOALS)),)
ifeq ($(origin PYTHON) $(origin VENV),undefined undefined)
FOUND := $(shell sh tools/bench_python.sh)
PYTHON := $(word 1,$(FOUND))
VENV := $(word 2,$(FOUND))
endif
endif
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# A libzmq of ratchet's own; "own" has everything built with it, another build of the same tree.
OWN := build/own
OWN_LIBZMQ := $(OWN)/lib/libzmq.a
ifeq ($(LIBZMQ),own)
export RATCHET_ZMQ_STATIC := $(abspath $(OWN))
LIBZMQ_FIRST := $(OWN_LIBZMQ)
endif

RUN := $(VENV)/bin/python
# For tools that call other tools.
IN_VENV := PATH="$(abspath $(VENV))/bin:$$PATH"
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
CYTHON_SOURCES := $(wildcard ratchet/*.pyx ratchet/*.pxd ratchet/_zmq/*.pxi ratchet/_pyzmq/*.pxi)
SCRIPTS := $(wildcard tools/*.sh tools/*/*.sh) .ci/run
WORKFLOWS := $(wildcard .github/workflows/*.yml)

.DEFAULT_GOAL := help
.PHONY: help test torture asan memcheck bench bench-full bench-threads bench-asyncio bench-waits bench-proxy \
	bench-connections scale instructions \
	memory soak pyzmq lint docs wheel matrix clean FORCE

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "%-15s%s\n", $$1, $$2}'

test: $(VENV)/.ratchet $(VENV)/.test  ## run the tests
	$(RUN) -m pytest -n auto --maxschedchunk 4 $(ARGS)

asan:  ## run the tests under gcc's address and undefined-behaviour sanitizers
	PYTHON="$(PYTHON)" sh tools/sanitize.sh asan $(ARGS)

memcheck:  ## run the leak tests under valgrind
	PYTHON="$(PYTHON)" sh tools/sanitize.sh memcheck $(ARGS)

bench: $(VENV)/.ratchet $(VENV)/.bench  ## measure messages a second, beside pyzmq
	$(RUN) -m benchmarks $(ARGS)

bench-full: $(VENV)/.ratchet $(VENV)/.bench  ## measure beside all libraries, 10 minutes; refresh docs/benchmarks.md
	-$(MAKE) PYTHON="$(PYTHON)" VENV="$(VENV)" $(VENV)/.own  # where it cannot be built, it is left out
	$(RUN) -m benchmarks --full --write docs/benchmarks.md $(ARGS)
	$(RUN) tools/draw_rates.py docs/benchmarks

# What is given in ARGS comes later and wins.
bench-threads: $(VENV)/.ratchet $(VENV)/.bench  ## measure ratchet threads, beside gevent
	$(RUN) -m benchmarks --libs ratchet-threads,pyzmq-green --only one-call,round-trip,16,1K $(ARGS)

bench-asyncio: $(VENV)/.ratchet $(VENV)/.bench  ## measure asyncio and uvloop, beside pyzmq and pyomq
	$(RUN) -m benchmarks --libs ratchet-asyncio,pyzmq-asyncio,pyomq-asyncio --only one-call,round-trip,16,1K $(ARGS)
	$(RUN) -m benchmarks --libs ratchet-uvloop,pyzmq-uvloop,pyomq-uvloop --only one-call,round-trip,16,1K $(ARGS)
	$(RUN) -m benchmarks.ready

bench-waits: $(VENV)/.ratchet $(VENV)/.bench  ## measure a wait for ten sockets and for 10,000, beside pyzmq
	$(RUN) -m benchmarks.waits $(ARGS)

bench-proxy: $(VENV)/.ratchet $(VENV)/.bench  ## measure messages through a proxy, beside libzmq's in C
	$(RUN) -m benchmarks.proxies $(ARGS)

bench-connections: $(VENV)/.ratchet $(VENV)/.bench  ## measure new, connect, first message and close of 10,000 sockets
	$(RUN) -m benchmarks.connections $(ARGS)

scale: $(VENV)/.ratchet $(VENV)/.bench  ## measure up to 10,000 sockets and threads; refresh docs/benchmarks.md
	$(RUN) -m benchmarks.scale --write docs/benchmarks.md $(ARGS)

instructions: $(VENV)/.ratchet $(VENV)/.bench  ## count the instructions of one message
	$(RUN) -m benchmarks.instructions $(ARGS)

memory: $(VENV)/.ratchet $(VENV)/.bench  ## measure the memory of sockets and threads
	$(RUN) -m benchmarks.memory $(ARGS)

torture: $(VENV)/.ratchet $(VENV)/.bench $(VENV)/.test  ## load, faults and misuse, beside pyzmq; refresh docs/reliability.md
	$(RUN) -m torture --write docs/reliability.md $(ARGS)
	RATCHET_TORTURE=1 $(RUN) -m pytest tests/promises/test_state_machine.py \
		tests/promises/test_stream_machine.py tests/promises/test_fuzz.py \
		tests/promises/test_fuzz_auth.py tests/promises/test_hostile.py tests/memory/test_leaks.py

soak: $(VENV)/.ratchet $(VENV)/.soak  ## run traffic with faults for 20 minutes, and count it
	$(RUN) -m torture.soak --minutes 20 --plot build/soak.png $(ARGS)

pyzmq: $(VENV)/.ratchet  ## run the tests of pyzmq and what builds on it, on ratchet; refresh docs/pyzmq.md
	$(RUN) tools/pyzmq_tests.py --write docs/pyzmq.md $(ARGS)

lint: $(VENV)/.ratchet $(VENV)/.lint  ## check code, types, scripts and workflows
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(RUN) -m mypy.stubtest --concise --ignore-disjoint-bases --allowlist tools/stubtest-allowlist.txt ratchet
	$(IN_VENV) pyright --pythonpath $(RUN)
	$(IN_VENV) cython-lint $(CYTHON_SOURCES)
	$(IN_VENV) validate-pyproject pyproject.toml
	$(IN_VENV) shellcheck $(SCRIPTS)
	$(IN_VENV) actionlint $(WORKFLOWS)
	$(IN_VENV) zizmor --offline --no-progress --quiet .github
	$(IN_VENV) check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(IN_VENV) check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

docs: $(VENV)/.ratchet $(VENV)/.docs  ## build the documentation as a site into build/docs
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet -d build/doctrees $(ARGS) docs build/docs

wheel: $(LIBZMQ_FIRST) $(VENV)/.made $(VENV)/.wheel  ## build and test the sdist and a wheel for each Python here
	$(IN_VENV) $(abspath $(RUN)) tools/wheels.py build $(ARGS)
	ls -l dist

matrix:  ## test on Debian 13 and sid: Python 3.13 to 3.15, libzmq 4.3.5, in chroots (as root)
	tools/matrix.sh $(ARGS)

clean:  ## remove everything that was made here
	rm -rf $(VENV) .venv-asan .venv-memcheck build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f ratchet/*.so ratchet/*.c ratchet/*.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, one for each thing in the environment; touched when it is in place.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is not Python 3.11 or later: say which one is, as in 'make test PYTHON=python3.12'" >&2; exit 1; }
	PYTHON="$(PYTHON)" sh tools/get_libzmq.sh
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'  # the first with --group
	touch $@

# Written anew only when it would say something new, so that another libzmq or CFLAGS is seen.
SETTINGS = "$$RATCHET_ZMQ_PREFIX|$$RATCHET_ZMQ_STATIC|$$RATCHET_DEBUG|$$CC|$$CFLAGS|$$LDFLAGS"
$(VENV)/.settings: $(VENV)/.made FORCE
	@echo $(SETTINGS) | cmp -s - $@ || echo $(SETTINGS) > $@
FORCE:

# Without build isolation, for then a changed .pyx is built in seconds.
$(VENV)/.ratchet: $(LIBZMQ_FIRST) $(VENV)/.settings setup.py pyproject.toml $(CYTHON_SOURCES)
	PYTHON="$(PYTHON)" sh tools/get_libzmq.sh
	$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requires.txt
	$(PIP) install --requirement $(VENV)/build-requires.txt
	PYTHONWARNINGS='ignore:Editable installation' $(PIP) install --no-build-isolation --editable .
	touch $@

$(OWN_LIBZMQ): tools/own_libzmq.sh
	sh tools/own_libzmq.sh $(OWN)

# Beside the editable one: a ratchet as in the wheels, for benchmarks that compare the two.
$(VENV)/.own: $(VENV)/.ratchet $(OWN_LIBZMQ)
	RATCHET_ZMQ_STATIC=$(abspath $(OWN)) $(PIP) install --no-build-isolation --no-deps \
		--upgrade --target $(OWN)/site-$$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])') .
	touch $@

$(VENV)/.bench: $(VENV)/.made pyproject.toml tools/install_peers.py
	$(PIP) install --group bench
	$(RUN) tools/install_peers.py
	touch $@

$(VENV)/.%: $(VENV)/.made pyproject.toml
	$(PIP) install --group $*
	touch $@
