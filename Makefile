# Tuneboard: `make run` opens the dashboard, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CPU of each parser of outside bytes in test-faults; 10 is the goal.
MINUTES ?= 1
READY := $(VENV)/.ready
WEIGHTS := .venv-weights
RAY := .venv-ray
# They import torch at their top.
TORCH_DOORS := engine/lm/local/weights.py engine/optimizers/training/sft.py engine/optimizers/training/grpo_child.py
LOCK := .ci/requirements.txt
UV := 0.13.9
ATHERIS := 3.0.0
DENO := DENO_NO_UPDATE_CHECK=1 $(BIN)/deno
SCRIPTS := dashboard/static/*.js
STYLES := dashboard/static/*.css

# Whatever fetches something asks nobody, and is patient with a slow or once failing connection.
export PIP_NO_INPUT := 1
export PIP_RETRIES ?= 8
export PIP_DEFAULT_TIMEOUT ?= 60
export PIP_ROOT_USER_ACTION ?= ignore
export UV_HTTP_TIMEOUT ?= 120

.PHONY: run demo test test-faults check peers chromium weights cluster unit browser test-weights test-ray golden film bench bench-optimizers bench-records bench-weights bench-ray bench-growth fix lock clean

run: $(READY)            ## open the dashboard on 127.0.0.1
	$(BIN)/tuneboard open

demo: $(READY)           ## tune the sample task in the terminal, no key needed
	$(BIN)/tuneboard demo

test: $(READY)           ## everything CI runs
	@# What later tests need is fetched while the code is checked, and then while its parts are tested.
	$(MAKE) -j 3 check peers chromium
	$(MAKE) -j 3 unit weights cluster
	$(MAKE) browser
	$(MAKE) test-ray WHICH='not slow'
	$(MAKE) test-weights WHICH='not slow'

check: $(READY)          ## style, syntax, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(DENO) fmt --check -q --line-width 110 $(SCRIPTS) $(STYLES)
	$(DENO) lint -q $(SCRIPTS)
	$(BIN)/lint-imports
	$(BIN)/mypy

peers: $(READY)          ## DSPy and Pyodide, which some tests compare with, and pyright
	$(BIN)/python .ci/peers.py

chromium: $(READY)       ## a browser, if there is none yet
	$(BIN)/python .ci/browser.py

weights: $(READY)        ## torch, transformers, peft and trl, in an environment of their own
	$(BIN)/python .ci/weights.py

cluster: $(READY)        ## Ray, in an environment of its own
	$(BIN)/python .ci/cluster.py

unit: peers              ## engine and dashboard tests, docstring examples
	$(BIN)/pytest -q -n auto --dist worksteal --doctest-modules $(addprefix --ignore=,$(TORCH_DOORS) dashboard/app.py) engine dashboard tests/engine_tests tests/dashboard_tests tests/fault_tests tests/golden tests/test_architecture.py tests/test_docs.py

browser: chromium        ## the whole flow in a real Chromium, screenshots in .screenshots/
	@# A browser, a server and a worker share the machine with others: what fails is tried once more, and the summary names it.
	$(BIN)/pytest -q -n 2 --dist loadfile --reruns 1 tests/browser_tests

test-weights: weights chromium ## small models trained for real, one of them from the browser, about five minutes; `make test` leaves out the slow ones
	OMP_NUM_THREADS=1 $$([ -e $(WEIGHTS)/.ready ] && echo $(WEIGHTS) || echo $(VENV))/bin/python -m pytest -q -n 2 --dist worksteal -m "$(WHICH)" \
	  --doctest-modules --doctest-ignore-import-errors $(TORCH_DOORS) tests/weights_tests tests/browser_tests/tune/test_small_model_here.py

test-ray: cluster weights ## runs on a real Ray cluster of two nodes, with a worker killed; two minutes
	@[ ! -e $(RAY)/.ready ] || PYTHONPATH="$$(echo $(CURDIR)/$(WEIGHTS)/lib/python*/site-packages)" OMP_NUM_THREADS=1 $(RAY)/bin/python -m pytest -q -m "$(WHICH)" tests/ray_tests

test-faults: $(READY) weights cluster ## kills, faults of endpoints and other trouble, printed as a table; about half an hour, and 15 times MINUTES
	@# A fuzzer led by coverage, which has wheels for Linux on x86-64 only; without it, made-up inputs follow no coverage.
	-$(BIN)/uv pip install -q --python $(BIN)/python --only-binary :all: atheris==$(ATHERIS)
	$(BIN)/python tests/fault_tests/table.py --minutes $(MINUTES)

golden: $(READY)         ## write the golden files again, after a change of behaviour that is meant
	$(BIN)/python tests/golden/make.py

film: $(READY)           ## tune the first sample and write the run that Home plays
	$(BIN)/python tests/support/film.py

bench: $(READY)          ## speed beside DSPy, printed as a table
	$(BIN)/python tests/benchmarks/speed/run.py

bench-optimizers: $(READY) ## every optimizer beside DSPy's on a model that can be taught
	$(BIN)/python tests/benchmarks/optimizers.py

bench-records: $(READY)  ## records from documents beside DSPydantic's, on a model that can be taught
	$(BIN)/python .ci/peers.py dspydantic
	$(BIN)/python tests/benchmarks/records.py

bench-weights: weights   ## training on this machine next to plain trl, and answers in batches, printed as tables
	OMP_NUM_THREADS=1 $(WEIGHTS)/bin/python tests/benchmarks/weights.py
	OMP_NUM_THREADS=1 $(WEIGHTS)/bin/python tests/benchmarks/local_models.py

bench-ray: cluster       ## a run's rows on a Ray cluster next to this machine alone, printed as a table
	$(RAY)/bin/python tests/benchmarks/cluster.py

bench-growth: $(READY)   ## what a long history costs: 1,000 runs, a million rows, 10 million kept answers; ten minutes, 5 GB of disk
	$(BIN)/python tests/benchmarks/growth.py

fix: $(READY)            ## fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(DENO) fmt -q --line-width 110 $(SCRIPTS) $(STYLES)

lock: $(READY)           ## resolve the dependencies again, hashes included
	$(BIN)/python -m pip install -q uv==$(UV)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o $(LOCK)
	$(BIN)/python .ci/weights.py lock
	$(BIN)/python .ci/cluster.py lock

$(READY): pyproject.toml $(LOCK)
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Tuneboard needs Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Name another one with: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	@# uv installs in a fifth of pip's time; where it cannot reach the index that pip is set up for, pip does it.
	$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV) && $(BIN)/uv pip sync -q --compile-bytecode --require-hashes $(LOCK) || \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(LOCK)
	install() { $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .; }; install || { sleep 5; install; }
	$(BIN)/python -m compileall -q engine dashboard
	@touch $@

clean:                   ## remove everything that was built
	rm -rf $(VENV) $(WEIGHTS) $(RAY) .screenshots .bench .mypy_cache .ruff_cache .pytest_cache
