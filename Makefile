# Everything happens in .venv; PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test slow bench docs clean
setup: .venv/.ready
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/marmor demo

test: setup
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile

slow: setup
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/python benchmarks/sampling.py

docs: setup
	$(BIN)/marmor grid pretrained:digits --seed 1 --out docs/images/digits-grid.png
	$(BIN)/marmor strip pretrained:digits --class 0 --out docs/images/digits-strip.png
	$(BIN)/marmor eta-grid pretrained:digits --class 3 --out docs/images/eta-grid.png
	$(BIN)/marmor interpolate pretrained:digits --from 0 --to 1 --class 3 --out docs/images/interpolation.png

clean:
	rm -rf .venv build src/*.egg-info
