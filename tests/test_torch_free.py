"""Without torch: the bundled model, the command line, and what is said of the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from torch_free_work import work

from napari_sam import masks

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DOCK = ("napari", "app-model", "magicgui", "superqt", "qtpy", "pandas")
"""Packages that only the dock needs."""


def run(*arguments, code=0):
    """Run Python with the tests' modules at hand; returns what was written."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    answer = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert answer.returncode == code, answer.stderr
    return answer


CLI = "import torch_hidden, sys; from napari_sam.cli import main; sys.exit(main(sys.argv[1:]))"


def fails(*arguments):
    """Run a command without torch; returns the sentence that it ends with."""
    answer = run("-c", CLI, *arguments, code=2)
    assert "Traceback" not in answer.stderr
    return answer.stderr.splitlines()[-1]


def objects_agree(one, other):
    """Return the mean IoU of the objects of labels with those that they overlap most."""
    ious = []
    for label in np.unique(one)[1:]:
        overlap = np.bincount(other[one == label], minlength=2)
        best = overlap[1:].argmax() + 1
        ious.append(masks.iou((one == label).reshape(-1, 1), (other == best).reshape(-1, 1)))
    return np.mean(ious)


@pytest.mark.slow  # two processes' worth of everything mode
def test_the_bundled_model_answers_as_with_torch(pocket, tmp_path):
    run(TESTS / "torch_free_work.py", tmp_path / "found.npz")
    known = work(pocket.model)
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(known)
        assert {"propagated to 0", "propagated to 2"} <= set(found)
        for name, one in known.items():
            if one.dtype == bool:
                assert masks.iou(one, found[name]) >= 0.99, name
            else:
                assert found[name].max() == one.max() > 10, name
                assert objects_agree(one, found[name]) >= 0.99, name


@pytest.mark.slow  # the whole demonstration
def test_the_demonstration_needs_no_torch(tmp_path):
    answer = run("-c", CLI, "demo", "-o", tmp_path / "demo")
    lines = answer.stdout.splitlines()
    assert len(lines) == 5
    assert all(int(line.split()[1]) > 0 for line in lines[:4])


def test_what_needs_torch_says_so(tmp_path):
    (tmp_path / "sam.pth").write_bytes(b"")
    train = fails("train", tmp_path, "-o", tmp_path / "tuned.safetensors")
    assert train.endswith("training needs torch, which is not installed: pip install torch")
    assert "needs torch" in fails("models", "--export", tmp_path / "all.pth", "--model", "pocket")
    assert "vit_b needs torch" in fails("models", "--model", "vit_b", "--fetch")
    assert "export needs torch" in fails("export", "pocket", "-o", tmp_path / "exported")
    for model in ("vit_b", tmp_path / "sam.pth"):
        said = fails("demo", "-o", tmp_path / "demo", "--model", model)
        assert f"{model} needs torch, which is not installed: pip install torch, or export" in said
    assert not (tmp_path / "all.pth").exists()


MODULES = """
import torch_hidden, importlib, pkgutil, napari_sam
families = {"adapters", "blocks", "checkpoint", "clip", "hiera", "hiera_order", "inert_pickle",
    "mask_decoder", "mobile_sam", "pocket", "pocket_decoder", "pocket_encoder", "pocket_net",
    "pocket_prompts", "prompt_encoder", "sam", "sam2", "sam2_decoder", "sam2_memory_attention",
    "sam2_memory_encoder", "sam2_neck", "sam2_net", "sam2_prompts", "sam2_tracking", "stored",
    "threads", "torch_format", "two_way", "vit", "vit_attention", "weights"}
left_out = ("napari_sam.widget", "napari_sam.training", "napari_sam.export", "napari_sam.__main__")
for module in pkgutil.walk_packages(napari_sam.__path__, "napari_sam."):
    models, _, name = module.name.rpartition(".")
    family = models.endswith("models") and name in families
    if not family and not module.name.startswith(left_out):
        importlib.import_module(module.name)
"""


def test_no_other_module_needs_torch():
    run("-c", MODULES)


def requirements(name):
    """Return the packages of a file of requirements, with their lower bounds."""
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r"))]


def test_the_requirements_are_those_of_the_package_but_for_torch():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    (onnx,) = project["optional-dependencies"]["onnx"]
    needed = {one for one in project["dependencies"] if not one.startswith("torch>=")}
    assert len(needed) == len(project["dependencies"]) - 1
    cli, dock = (requirements(f"requirements-onnx{part}.txt") for part in ("-cli", ""))
    assert sorted(cli + dock) == sorted({*needed, onnx})
    assert {one.partition(">=")[0] for one in dock} == set(DOCK)
    assert "-r requirements-onnx-cli.txt" in (ROOT / "requirements-onnx.txt").read_text()
