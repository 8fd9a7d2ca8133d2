# The two commands to begin with: `make demo` and `make test`. Both create the environment in $(VENV) first.
# TORCH says which PyTorch to install, for example `make test TORCH=torch==2.13.0`; EXTRAS=dev,app also tries the page.
PYTHON ?= python3
TORCH ?= torch
TRANSFORMERS ?= transformers
EXTRAS ?= dev
VENV ?= .venv
CHECKPOINT ?=

.PHONY: demo test test-slow lint upstream cards clean

# Says what it does and how long it takes; ends in demo/index.html.
demo: $(VENV)/installed
	$(VENV)/bin/ssast-hf demo --output_dir demo --overwrite $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)")

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGUMENTS)

# Those that `make test` leaves out, for the time they take.
test-slow: PYTEST_ARGUMENTS = -m slow
test-slow: test

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The tests that transformers has for its own models, on those of this package.
upstream: $(VENV)/installed
	$(VENV)/bin/python tests/upstream/fetch.py
	$(VENV)/bin/python -m pytest -n auto tests/upstream $(PYTEST_ARGUMENTS)

cards: $(VENV)/installed
	$(VENV)/bin/python model_cards/render.py

# Not compiled: that takes longer than the rest, and Python compiles what it imports.
$(VENV)/installed: pyproject.toml
	@echo "Installing into $(VENV), once: 0.44 GB to download where pip takes a CPU build of PyTorch, else several GB"
	@echo "(minutes; TORCH=... says which PyTorch). First PyTorch, then transformers and the rest."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-compile "$(TORCH)"
	$(VENV)/bin/pip install --quiet --no-compile "$(TRANSFORMERS)" --editable ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) build demo
