"""The table of families: what it says is there, and a new entry is enough for a new family."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from itertools import permutations
from pathlib import Path

import grimp
import pytest

from napari_sam.models import families
from napari_sam.models.families import FAMILIES, Family, file_suffixes, runtime_of
from napari_sam.models.fetch import cached_path
from napari_sam.models.specs import SPECS

TORCH_FREE = ("contract", "families", "fetch", "recognition", "registry", "specs")
ROOT = Path(__file__).parents[2]


def contract(name):
    """Return one of the contracts of import-linter."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return next(found for found in contracts if found["name"] == name)


def run(script):
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_each_family_is_told_by_a_tensor_or_a_suffix_of_its_own():
    for signs in ([f.name for f in FAMILIES], [f.tensor or f.suffix for f in FAMILIES]):
        assert all(signs)
        assert len(set(signs)) == len(signs)
    assert not any(family.tensor and family.suffix for family in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_modules_of_a_family_have_what_the_registry_calls(family):
    assert callable(import_module(f"napari_sam.models.{family.name}").build)
    runtime = import_module(f"napari_sam.models.{family.runtime}")
    for name in ("read", "choose_device", "check_memory"):
        assert callable(getattr(runtime, name))


def test_families_do_not_know_each_other():
    graph = grimp.build_graph("napari_sam", cache_dir=None)
    modules = [f"napari_sam.models.{family.name}" for family in FAMILIES]
    for one, other in permutations(modules, 2):
        assert graph.find_shortest_chain(importer=one, imported=other) is None


def test_what_is_known_without_a_model_loads_no_torch():
    modules = [f"napari_sam.models.{name}" for name in TORCH_FREE]
    listed = contract("The registry of models and downloads load no torch")["source_modules"]
    assert set(modules) <= set(listed)
    for module in listed:
        assert import_module(module)
    run(
        f"import sys\nfor name in {listed}: __import__(name)\n"
        "heavy = {'torch', 'safetensors', 'napari', 'qtpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


def test_a_suffix_names_the_runtime(monkeypatch):
    fake = Family("fake", "fake models", suffix=".fake")
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, fake))
    assert file_suffixes() == (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx", ".fake")
    assert runtime_of("a/b.FAKE") == "fake"
    assert runtime_of("a.pt") == runtime_of("a") == families.STATE_DICT_RUNTIME
    assert families.known_titles().endswith("models exported to ONNX and fake models")


def test_published_files_are_named_by_model_and_suffix(tmp_path):
    names = {spec.name: cached_path(spec, tmp_path).name for spec in SPECS}
    assert names["pocket"] == "pocket.safetensors"
    assert names["vit_b"] == "vit_b.pth"
    assert names["vit_b_medical_imaging"] == "vit_b_medical_imaging.pt"  # its address says nothing


NEW_FAMILY = """
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from napari_sam.models import families, registry

fake = ModuleType("napari_sam.models.fake")
fake.SOFTWARE = "fake"
fake.REFERENCE = "float32"
fake.read = lambda path: SimpleNamespace(family="fake", nbytes=len(path.read_bytes()))
fake.choose_device = lambda name: "cpu"
fake.check_memory = lambda weights, working, device, name: asked.append((weights, device, name))

class Model:
    def __init__(self, file, name, device):
        self.file, self.name, self.device, self.notice = file, name, device, ""

    def set_precision(self, precision):
        self.precision = precision

fake.build = Model
asked = []
sys.modules[fake.__name__] = fake
families.FAMILIES += (families.Family("fake", "fake models", suffix=".fake"),)
path = Path(sys.argv[1])
path.write_bytes(b"1234567")
model = registry.load_model(path, "cpu", precision="float32")
assert (model.name, model.device, model.precision) == ("mine", "cpu", "float32")
assert asked == [(7, "cpu", "mine")]
assert "torch" not in sys.modules
"""


def test_a_family_with_files_of_its_own_needs_an_entry_and_no_torch(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", NEW_FAMILY, str(tmp_path / "mine.fake")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
