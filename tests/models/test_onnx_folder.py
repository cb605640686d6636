"""The folder of an exported model: written, read, and refused where anything is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from napari_sam.models.onnx_folder import (
    DECODER,
    ENCODER,
    MODEL,
    REPORTS,
    ExportedModel,
    FileMark,
    folder_of,
    is_exported,
    mark_of,
    marks_of,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ENCODER).write_bytes(b"one" * 1000)
    (tmp_path / DECODER).write_bytes(b"two")
    exported = ExportedModel(
        "sam", "vit_b", 1024, "fp32", 18, 4, "00ff00ff", marks_of(tmp_path, (ENCODER, DECODER)),
        {"torch": "2.13.0"},
    )  # fmt: skip
    exported.write(tmp_path)
    return tmp_path


def change(folder, **changes):
    place = folder / MODEL
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


def test_what_is_written_is_read(folder):
    exported = ExportedModel.read(folder)
    assert (exported.family, exported.name, exported.image_size) == ("sam", "vit_b", 1024)
    assert (exported.precision, exported.opset, exported.masks) == ("fp32", 18, 4)
    assert exported.files[DECODER] == FileMark(3, mark_of(folder / DECODER).blake2b)
    assert exported.made_with == {"torch": "2.13.0"}
    assert exported.nbytes == 3003
    assert ExportedModel.read(folder / ENCODER) == ExportedModel.read(folder / MODEL) == exported
    exported.verify(folder)
    assert is_exported(folder)
    assert not is_exported(folder.parent)
    assert folder_of(folder) == folder_of(folder / DECODER) == folder


def test_the_file_says_what_it_is(folder):
    found = json.loads((folder / MODEL).read_text())
    assert (found["format"], found["version"]) == ("napari_sam ONNX", 1)
    assert found["files"][DECODER]["bytes"] == 3
    assert len(found["files"][DECODER]["blake2b"]) == 64


@pytest.mark.parametrize("name", [ENCODER, DECODER])
def test_a_file_that_is_damaged_or_missing_is_named(folder, name):
    exported = ExportedModel.read(folder)
    content = bytearray((folder / name).read_bytes())
    content[1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged or of another export"):
        exported.verify(folder)
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{name} is damaged or of another export"):
        exported.verify(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        exported.verify(folder)


@pytest.mark.parametrize("name", ["weights.data", ".hidden", "part"])
def test_a_file_without_a_hash_is_refused(folder, name):
    exported = ExportedModel.read(folder)
    for known in (*REPORTS, ".DS_Store"):
        (folder / known).write_bytes(b"")
    exported.verify(folder)
    if name == "part":
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(b"weights of another graph")
    with pytest.raises(ValueError, match=rf"{name} is not named in {MODEL}, so it has no hash"):
        exported.verify(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)],
    ids=["empty", "torn", "list", "null", "other", "no text", "deep", "long"],
)
def test_a_damaged_description_is_one_sentence(folder, content):
    (folder / MODEL).write_bytes(content)
    with pytest.raises(ValueError, match=f"{MODEL} is damaged: .*; export") as raised:
        ExportedModel.read(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"family": "unet"}, "the family is one of sam, pocket"),
        ({"precision": "fp4"}, "the precision is one of"),
        ({"image_size": 0}, "image_size is 1 to"),
        ({"image_size": 10**9}, "image_size is 1 to"),
        ({"image_size": True}, "does not describe a model"),
        ({"image_size": "512"}, "does not describe a model"),
        ({"masks": 0}, "masks is 1 to"),
        ({"name": None}, "does not describe a model"),
        ({"fingerprint": "../x"}, "fingerprint"),
        ({"files": {}}, "is not among the files"),
        ({"files": []}, "does not describe a model"),
        ({"files": {ENCODER: {"bytes": 1}}}, "does not describe a model"),
        ({"made_with": {"torch": 2}}, "does not describe a model"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(folder, changes, text):
    change(folder, **changes)
    with pytest.raises(ValueError, match=f"{MODEL} is damaged: .*{text}"):
        ExportedModel.read(folder)


@pytest.mark.parametrize(
    "name", ["../a", "a/b", "a\\b", ".hidden", "/etc/passwd", "", "C:x", MODEL]
)
def test_a_file_in_another_place_is_never_looked_at(folder, name):
    files = json.loads((folder / MODEL).read_text())["files"]
    change(folder, files={**files, name: {"bytes": 1, "blake2b": "0" * 64}})
    with pytest.raises(ValueError, match="is not the name of a file beside"):
        ExportedModel.read(folder)


def test_a_later_version_asks_for_an_update(folder):
    change(folder, version=2)
    with pytest.raises(ValueError, match="written by a later version of napari_sam; update"):
        ExportedModel.read(folder)


def test_what_cannot_be_written_is_not_made(folder):
    exported = ExportedModel.read(folder)
    with pytest.raises(ValueError, match="the precision is one of"):
        replace(exported, precision="half")


def test_no_model_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=f"{MODEL} cannot be read .*an exported model is a folder"):
        ExportedModel.read(tmp_path)
