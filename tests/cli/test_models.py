"""`napari-sam models`, and which model a command loads."""

from __future__ import annotations

import json

import pytest
import torch

from napari_sam.models.adapters import fingerprint_of, write_tuned
from napari_sam.models.cards import Card
from napari_sam.models.checkpoint import read


def test_models_is_a_table(succeed):
    table, note = succeed("models").split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["name", "architecture", "size", "licence", "state", "note"]
    assert rows[0].startswith("pocket")
    assert "BSD-3-Clause" in rows[0]
    assert " here " in rows[0]
    assert [row.split()[0] for row in rows[1:5]] == ["mobile_sam", "vit_b", "vit_l", "vit_h"]
    assert "2,565 MB" in rows[4]
    assert "--model PATH" in note


def test_models_of_a_file_says_whether_it_loads(succeed, fail, published_sam):
    assert "loads: it is a model that sees 128 px" in succeed(
        "models", "--model", published_sam, "--device", "cpu"
    )
    assert "is a file already" in fail("models", "--model", published_sam, "--fetch")


def test_a_tuned_file_shows_its_card_and_is_exported(succeed, fail, published_sam, tmp_path):
    tuned, full = tmp_path / "tuned.safetensors", tmp_path / "full.pth"
    name = "mask_decoder.iou_token.weight"
    card = Card(str(published_sam), fingerprint_of(read(published_sam)), figures={"1 click": 0.5})
    write_tuned(tuned, {f"{name}.added": torch.ones(1, 256)}, card)
    said = succeed("models", "--model", tuned, "--device", "cpu")
    assert "sees 128 px" in said
    assert f"base: {published_sam}" in said
    assert "figures: 1 click: 0.5" in said
    assert "with all its weights" in succeed("models", "--model", tuned, "--export", full)
    before, after = (torch.load(path) for path in (published_sam, full))
    torch.testing.assert_close(after[name], before["state_dict"][name] + 1)
    assert after.keys() == before["state_dict"].keys()
    assert "exists; choose another name" in fail("models", "--model", tuned, "--export", full)
    assert "say which model to export" in fail("models", "--export", tmp_path / "other.pth")
    published_sam.unlink()
    assert "put small_sam.pth beside it" in fail("models", "--model", tuned, "--device", "cpu")


@pytest.mark.parametrize(
    "arguments", [("segment", "--point", "20,20"), ("everything", "--points-per-side", "2")]
)
def test_a_file_of_weights_answers_in_every_command(
    succeed, plane, tmp_path, published_sam, arguments
):
    command, *more = arguments
    out = succeed(
        command, plane, "-o", tmp_path / "a.tif", *more, "--model", published_sam,
        "--device", "cpu",
    )  # fmt: skip
    assert json.loads(out)["model"] == "small_sam"


def test_a_model_that_is_not_here_and_must_not_be_fetched(fail, monkeypatch, plane, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path / "models"))
    arguments = ("everything", plane, "-o", tmp_path / "a.tif", "--model", "mobile_sam")
    assert "downloads are switched off" in fail(*arguments, "--offline")
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", "1")
    assert "downloads are switched off" in fail(*arguments)
    assert "downloads are switched off" in fail("models", "--model", "vit_b", "--fetch")
    assert not (tmp_path / "a.tif").exists()


def test_fetch_wants_a_name(succeed, fail):
    assert "--model vit_b --fetch" in fail("models", "--fetch")
    assert "part of this package" in succeed("models", "--model", "pocket", "--fetch")
