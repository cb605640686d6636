"""`napari-sam models`, and which model a command loads."""

from __future__ import annotations

import json

import pytest


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
