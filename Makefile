# make demo | test | check | docs | test-oldest | test-onnx | web-test | clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DISPLAYED := $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s)))
# Each worker that runs tests opens a virtual display; without Xvfb they would share the screen.
WORKERS ?= $(if $(shell command -v Xvfb),logical,0)

export QT_API := pyqt6

.PHONY: demo test check docs test-oldest test-onnx web-test clean

# the plugin in napari; without a display the same work from the command line
demo: $(STAMP)
ifneq ($(DISPLAYED),)
	$(BIN)/python -m napari_sam.widget.demo
else
	$(BIN)/napari-sam demo -o demo-output --overwrite
endif

# in one worker for each core, up to four, a file at a time; make test WORKERS=0 uses one process
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --max-worker-restart 0 \
		--dist loadfile --no-loadscope-reorder

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
	tools/test_oldest.sh $(PYTHON)

# the command line without torch, in an environment of its own: sizes and times
test-onnx:
	tools/test_torch_free.sh build/torch-free $(PYTHON)

# the page of examples/web in Chromium; needs npm, and the package chromium on Debian
web-test: $(STAMP)
	@command -v npm >/dev/null || { echo "there is no npm: on Debian apt-get install npm" >&2; exit 2; }
	cd examples/web && npm ci --no-audit --no-fund
	$(BIN)/napari-sam export pocket -o examples/web/models/pocket --overwrite
	$(BIN)/python tools/web_test.py

clean:
	rm -rf examples/web/node_modules examples/web/vendor examples/web/models
	rm -rf build dist site .cache demo-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	tools/setup.sh $(PYTHON)
	touch $@
