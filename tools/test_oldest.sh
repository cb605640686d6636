#!/usr/bin/env bash
# Run the tests with the oldest dependencies that pyproject.toml allows, in build/oldest.
# Usage: tools/test_oldest.sh [PYTHON], with the oldest Python that pyproject.toml allows.
#
# On Linux the package index has only the CUDA builds of torch, of several GB. For a CPU build:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test-oldest
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/oldest
"${1:-python3}" -m venv --clear "$venv"
"$venv/bin/python" - >"$venv/floors.txt" <<'EOF'
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["export"],
                    *project["optional-dependencies"]["medical"]]:
    print(requirement.replace(">=", "=="))
EOF
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
"${pip[@]}" -c constraints.txt hatchling editables hatch-fancy-pypi-readme
"${pip[@]}" --no-build-isolation -c "$venv/floors.txt" -e ".[qt,export,medical,distributed,text,dev]"
"${pip[@]}" --no-deps segment-anything timm
tests=(tests/test_*.py tests/{cli,evaluate,everything,formats,images,models,objects,predict,stack})
"$venv/bin/python" -m pytest -q -m "not slow" "${tests[@]}" tests/widget/test_prompting.py
