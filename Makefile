# Set-up is part of every target; a second `make` reuses what is there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test test-browser notebooks test-shared lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/python -m animalclef demo .demo
	$(BIN)/python -m animalclef predict --data .demo --run runs/demo --out submissions/demo/submission.csv
	$(BIN)/python -m animalclef score --truth .demo/truth.csv --submission submissions/demo/submission.csv
	@echo
	@echo "Photographs:  .demo/images    Table: .demo/metadata.csv"
	@echo "Submission:   submissions/demo/submission.csv (settings, manifest and metrics beside it)"
	@echo "Run folder:   runs/demo       candidates.csv, decision.json, set_aside.csv"
	@echo "To look at:   animalclef report runs/demo --truth .demo/truth.csv"

test: $(READY)
	$(BIN)/python -m pytest -m "not shared and not slow" -n 2

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser

notebooks: $(READY)
	@test -f runs/demo/finished.json || $(MAKE) demo
	$(BIN)/jupyter execute --timeout=170 notebooks/*.ipynb

test-shared: $(READY)
	$(BIN)/python -m pytest -m shared

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .demo runs submissions/demo
