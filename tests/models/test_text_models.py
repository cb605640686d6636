"""Models of images and words: the same as transformers', and clear about what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from text_pair import write_model

from napari_sam.models import clip, text_models
from napari_sam.models.text_models import (
    TEXT_SPECS,
    TextSpec,
    check_text_model,
    loading_text_model,
    text_models_here,
)
from napari_sam.steps import drive


@pytest.fixture(params=["clip", "siglip"])
def folder_and_model(request, tmp_path):
    return tmp_path, write_model(tmp_path, request.param)


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path)
    return tmp_path


def load(folder):
    return drive(loading_text_model(folder, "cpu"))


def test_images_are_embedded_as_by_transformers(folder_and_model):
    folder, reference = folder_and_model
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (17, 24, 61)]
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        pixels = processor(images, return_tensors="pt")["pixel_values"]
        wanted = reference.get_image_features(pixel_values=pixels).pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    found = load(folder).embed_images(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize("other", [{"resample": 2}, {"rescale_factor": 1 / 127.5}])
def test_images_are_prepared_as_the_folder_says(folder, other):
    path = folder / "preprocessor_config.json"
    image = np.random.default_rng(0).integers(0, 256, (61, 61, 3), np.uint8)
    before = load(folder).embed_images([image])
    settings = json.loads(path.read_text(encoding="utf-8")) | other
    path.write_text(json.dumps(settings), encoding="utf-8")
    pixels = transformers.CLIPImageProcessor.from_pretrained(folder)(image, return_tensors="pt")
    reference = transformers.CLIPModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        wanted = reference.get_image_features(pixel_values=pixels["pixel_values"]).pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    found = load(folder).embed_images([image])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - before).max() > 1e-3


def test_words_are_embedded_as_by_transformers(folder_and_model):
    folder, reference = folder_and_model
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = ["a photo of a round cell", "a microscopy image of a round cell"]
    vectors = []
    for sentence in sentences:
        full = reference.config.model_type == "siglip"
        tokens = tokenizer(
            sentence, padding="max_length" if full else False, max_length=12, return_tensors="pt"
        )
        mask = None if full else tokens["attention_mask"]
        with torch.inference_mode():
            output = reference.get_text_features(tokens["input_ids"], attention_mask=mask)
        vectors.append(torch.nn.functional.normalize(output.pooler_output[0], dim=-1).numpy())
    wanted = np.mean(vectors, axis=0)
    model = load(folder)
    found = model.embed_text("  Round\n cell ")
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)
    assert found @ model.embed_text("dark") < 0.999


def test_the_ground_is_the_mean_of_the_model(folder):
    assert load(folder).ground == (102, 133, 153)


def test_no_words_are_refused(folder):
    with pytest.raises(ValueError, match="no words"):
        load(folder).embed_text("  ")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="siglip_base, clip_large"):
        check_text_model(tmp_path / "none")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}"):
        load(folder)


def test_a_missing_tokenizer_is_named(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="tokenizer"):
        load(folder)


def test_a_tokenizer_of_another_model_is_refused(folder):
    path = folder / "tokenizer.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    stated["model"]["vocab"] |= {f"word{k}": 13 + k for k in range(5)}
    path.write_text(json.dumps(stated), encoding="utf-8")
    with pytest.raises(ValueError, match="of another model"):
        load(folder)


def test_missing_preparation_is_named(folder):
    path = folder / "preprocessor_config.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="does not say how images are prepared"):
        load(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"processor_config\.json is missing"):
        load(folder)


def test_another_kind_of_model_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"'bert'; it must be one of clip, siglip"):
        load(folder)


def test_weights_that_lack_a_tensor_are_refused(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["visual_projection.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 tensors, such as visual_projection\.weight"):
        load(folder)


def test_torn_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        load(folder)


def change(name, **parts):
    """Return what changes settings in a file of a folder."""

    def changed(folder):
        path = folder / name
        settings = json.loads(path.read_text(encoding="utf-8"))
        for key, value in parts.items():
            if isinstance(value, dict) and isinstance(settings.get(key), dict):
                settings[key].update(value)
            else:
                settings[key] = value
        path.write_text(json.dumps(settings), encoding="utf-8")

    return changed


def tear_tokenizer(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8")[:300], encoding="utf-8")


def spoil_weights(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["visual_projection.weight"][:] = float("nan")
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (tear_tokenizer, "tokenizer in .* is missing, damaged"),
        (change("tokenizer.json", model=None), "tokenizer in .* is missing, damaged"),
        (change("tokenizer.json", model={"type": "Nope"}), "tokenizer in .* is missing, damaged"),
        (change("tokenizer.json", model={"vocab": "x"}), "tokenizer in .* is missing, damaged"),
        (change("config.json", quantization_config={"quant_method": "gptq"}), "are quantised"),
        (change("config.json", model_type=["clip"]), r"type \['clip'\]; it must be one of"),
        (change("config.json", vision_config={"num_attention_heads": 0}), "no model that can be"),
        (change("config.json", vision_config={"image_size": [24, 24]}), "no model that can be"),
        (change("config.json", vision_config={"hidden_act": "none"}), "no model that can be"),
        (
            change("config.json", text_config={"max_position_embeddings": 77}),
            r"text_model\.\S+ is of the shape \(12, 16\), but \(77, 16\) is stated",
        ),
        (
            change("preprocessor_config.json", image_mean=[float("nan"), 0, 0]),
            "no usable scale, mean",
        ),
        (change("preprocessor_config.json", image_std=[1, 0, 1]), "no usable scale, mean"),
        (change("preprocessor_config.json", rescale_factor=1e-45), "no usable scale, mean"),
        (spoil_weights, "does not work"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(ValueError, match=sentence) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_that_does_not_fit_into_memory_is_not_loaded(folder, monkeypatch):
    free = (folder / "model.safetensors").stat().st_size + clip.WORKING
    memory = SimpleNamespace(available=free - 1)
    monkeypatch.setattr("napari_sam.models.weights.psutil.virtual_memory", lambda: memory)
    with monkeypatch.context() as inner:
        inner.setattr(clip, "import_module", lambda name: pytest.fail(f"{name} was used"))
        with pytest.raises(ValueError, match="GB of memory on cpu"):
            load(folder)
    memory.available = free
    load(folder)


def test_no_code_of_a_folder_is_run(folder):
    """Neither code that the settings name is run, nor a pickle read in place of the weights."""
    code = "raise SystemExit('run')"
    (folder / "own.py").write_text(code, encoding="utf-8")
    for name, parts in {
        "config.json": {"AutoModel": "own.Model", "AutoConfig": "own.Config"},
        "tokenizer_config.json": {"AutoTokenizer": ["own.Tokenizer", None]},
    }.items():
        settings = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(settings | {"auto_map": parts}), encoding="utf-8")
    load(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        load(folder)


def test_without_transformers_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(text_models, "has_transformers", lambda: False)
    with pytest.raises(ValueError, match=r"pip install 'napari-sam-stack\[text\]'"):
        load(folder)


def test_a_known_model_is_not_downloaded_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path))
    for spec in TEXT_SPECS:
        with pytest.raises(ValueError, match="downloads are switched off"):
            drive(loading_text_model(spec.name, offline=True))


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and notes what it is asked for."""

    asked: list[str] = []  # noqa: RUF012 - of one test at a time, see `published`

    def do_GET(self):
        self.asked.append(self.path.rpartition("/")[2])
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def published(tmp_path_factory, monkeypatch):
    """A known model whose files a server of this machine has; the weights are asked for last."""
    folder, place = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("models")
    write_model(folder)
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(place))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("NAPARI_SAM_OFFLINE", raising=False)
    monkeypatch.setattr(Quiet, "asked", [])
    names = [
        "config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
        "model.safetensors",
    ]  # fmt: skip
    contents = {name: (folder / name).read_bytes() for name in names}
    files = {name: (sha256(one).hexdigest(), len(one)) for name, one in contents.items()}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(
            text_models, "TEXT_SPECS", (TextSpec("tiny_pair", address, files, "none"),)
        )
        yield SimpleNamespace(folder=folder, place=place / "tiny_pair", files=files)
        server.shutdown()
        thread.join()


def test_a_known_model_is_downloaded_file_by_file(published):
    """The weights come last, each file keeps its name, and progress is that of all files."""
    steps, generator = [], loading_text_model("tiny_pair", "cpu")
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            model = end.value
            break
    assert model.name == "tiny_pair"
    assert Quiet.asked == [*published.files]
    for name in published.files:
        assert (published.place / name).read_bytes() == (published.folder / name).read_bytes()
    assert text_models_here() == [published.place]
    total = sum(size for _, size in published.files.values())
    downloads = [step for step in steps if step.total]
    assert {step.total for step in downloads} == {total}
    done = [step.done for step in downloads]
    assert done == sorted(done)
    assert done[-1] == total
    assert done[0] == 0
    Quiet.asked.clear()
    drive(loading_text_model("tiny_pair", "cpu"))
    assert Quiet.asked == []  # all are here, and intact


def test_a_file_that_is_not_the_published_one_is_not_kept(published):
    """What was not published is refused, and the files after it are not asked for."""
    path = published.folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(ValueError, match=r"tiny_pair tokenizer\.json is not what was published"):
        drive(loading_text_model("tiny_pair", "cpu"))
    assert Quiet.asked == ["config.json", "tokenizer.json"]
    assert [one.name for one in published.place.glob("*.json")] == ["config.json"]
    assert text_models_here() == []


def test_weights_of_known_models_are_asked_for_last():
    for spec in TEXT_SPECS:
        assert [*spec.files][-1] == "model.safetensors"
        assert all(len(digest) == 64 for digest, _ in spec.files.values())


def test_help_loads_neither_torch_nor_transformers():
    code = (
        "import sys; from napari_sam.cli import main\n"
        "try: main(['everything', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert "--text-model" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
