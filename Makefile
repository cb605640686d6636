# make demo | test | check | docs | test-oldest | clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DISPLAYED := $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s)))
XVFB := $(if $(DISPLAYED),,xvfb-run -a -s "-screen 0 1400x1000x24")

export QT_API := pyqt6

.PHONY: demo test check docs test-oldest clean

# the plugin in napari; without a display the same work from the command line
demo: $(STAMP)
ifneq ($(DISPLAYED),)
	$(BIN)/python -m napari_sam.widget.demo
else
	$(BIN)/napari-sam demo -o demo-output --overwrite
endif

test: check
	$(XVFB) $(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_links.py

# the documentation site, in site/index.html
docs: $(STAMP)
	$(BIN)/zensical build --clean --strict

# the tests with the oldest dependencies that pyproject.toml allows; installs several GB
test-oldest:
	$(XVFB) tools/test_oldest.sh $(PYTHON)

clean:
	rm -rf build dist site .cache demo-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	tools/setup.sh $(PYTHON)
	touch $@
