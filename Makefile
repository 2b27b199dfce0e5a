# `make demo` and `make test` each do everything from a bare clone: virtual environment, installation, run.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test check clean

demo: $(INSTALLED)
	$(BIN)/mri-ambient demo --force

test: $(INSTALLED)
	@# a process a core and a thread each: most tests are too small for more; worksteal: the notebooks must not come last
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bart,raw,cluster,dicom,viewer]'
	touch $@
