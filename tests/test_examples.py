from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
LAST_LINES = {
    "predict_points.py": "corrected: ",
    "draw_ct.py": " HU",
    "predict_box.py": "object 3: ",
    "everything.py": "predicted IoU above 0.8: ",
    "stack_everything.py": " objects in 3 planes",
    "session_closer_look.py": " pixels, corrected ",
}


def test_every_example_is_here():
    assert set(LAST_LINES) <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path, tmp_path):
    answer = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", path],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert LAST_LINES.get(path.name, "") in answer.stdout.splitlines()[-1]
    assert not list(tmp_path.iterdir())
