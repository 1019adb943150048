# Set-up is part of every target; a second `make` reuses what is there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
FAST := -m "not shared and not slow" -n 2
COVERAGE_FLOOR := 75

.PHONY: setup demo test test-cov fuzz test-cluster test-browser test-lowest test-kaggle notebooks test-shared docs settings lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/python -m animalclef demo .demo
	$(BIN)/python -m animalclef predict --data .demo --run runs/demo --set keypoints.minutes=1 --out submissions/demo/submission.csv
	$(BIN)/python -m animalclef score --truth .demo/truth.csv --submission submissions/demo/submission.csv
	@echo
	@echo "Photographs:  .demo/images    Table: .demo/metadata.csv"
	@echo "Submission:   submissions/demo/submission.csv (settings, manifest and metrics beside it)"
	@echo "Run folder:   runs/demo       candidates.csv, decision.json, set_aside.csv"
	@echo "To look at:   $(BIN)/animalclef report runs/demo --truth .demo/truth.csv"

test: $(READY)
	$(BIN)/python -m pytest $(FAST)

# As `test`, with the share of lines that the tests run; fails below the floor.
test-cov: $(READY)
	$(BIN)/python -m pytest $(FAST) --cov --cov-report= --cov-fail-under=$(COVERAGE_FLOOR)
	@$(BIN)/coverage report --skip-covered --sort=cover | sed -n 1,25p

# Damaged and hostile input for every reader, and `predict` killed 60 times; about ten minutes on two cores.
fuzz: $(READY)
	FUZZ_EXAMPLES=500 $(BIN)/python -m pytest tests/fuzz -n 2
	$(BIN)/python tests/fuzz/kill_predict.py --kills 60

# A Ray cluster of three nodes inside this machine: nodes lost, the driver killed, other versions refused.
test-cluster: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,ray]"
	$(BIN)/python -m pytest tests/engine

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser

# The lowest versions that pyproject.toml allows, resolved anew: what a new dependency or a raised bound must pass.
test-lowest: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable ".[dev]"
	.venv-lowest/bin/python -m pytest $(FAST)

# The versions of a Kaggle notebook, with the package installed offline from a bundle's wheels.
test-kaggle: $(READY)
	.ci/kaggle

notebooks: $(READY)
	@test -f runs/demo/finished.json || $(MAKE) demo
	$(BIN)/jupyter execute --timeout=170 notebooks/0*.ipynb

test-shared: $(READY)
	$(BIN)/python -m pytest -m shared

# The documentation site, in site/; a broken link or an unknown name is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Writes docs/settings.md from the settings themselves; a test fails where it is not current.
settings: $(READY)
	$(BIN)/python docs/settings_reference.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-lowest .venv-kaggle .demo runs site submissions/demo
