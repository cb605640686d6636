from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_sam.models.adapters import write_tuned
from napari_sam.models.cards import CARD, Card, read_card, verify, with_card

OWN = Card(
    base="vit_b",
    base_fingerprint="12ab",
    data_fingerprint="34cd",
    settings={"minutes": 5.0, "part": "heads", "steps": None},
    figures={"1 click": {"before": 0.51234, "after": 0.75}, "objects": [3, 4]},
    made="2026-11-27T12:00:00+00:00",
    version="0.1",
)
TENSORS = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(3, dtype=torch.float16)}


def test_a_card_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "tuned.safetensors"
    write_tuned(path, TENSORS, OWN)
    assert read_card(path) == OWN
    verify(path)
    found = load_file(path)  # by the library of the format
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    with safe_open(path, "pt") as opened:
        assert json.loads(opened.metadata()[CARD])["base"] == "vit_b"


def test_a_card_is_exchanged_without_touching_the_tensors(tmp_path):
    path, other = tmp_path / "tuned.safetensors", tmp_path / "other.safetensors"
    write_tuned(path, TENSORS, OWN)
    better = replace(OWN, figures={"1 click": 0.9})
    with_card(path, better, other)
    assert read_card(path) == OWN
    assert read_card(other) == better
    with_card(other, OWN, other)
    assert other.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, path.name]


def test_a_source_is_closed_before_it_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "tuned.safetensors"
    write_tuned(path, TENSORS, OWN)
    move, opened = Path.replace, []

    def replaced(self, target):
        opened.extend(one.path for one in psutil.Process().open_files())
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    with_card(path, replace(OWN, base="vit_l"), path)
    assert read_card(path).base == "vit_l"
    assert str(path.resolve()) not in opened


def test_a_card_says_what_it_holds():
    text = OWN.as_text().splitlines()
    assert text[0] == "base: vit_b"
    assert "holds: what differs from the base" in text
    assert "settings: part: heads" in text
    assert "figures: 1 click, before: 0.5123" in text
    assert "figures: objects: 3, 4" in text


def test_files_without_a_card_have_none(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file(TENSORS, path)
    assert read_card(path) is None
    assert read_card(tmp_path / "weights.pth") is None
    assert read_card(tmp_path / "missing.safetensors") is None
    path.write_bytes(b"12345678901234567890")
    assert read_card(path) is None  # the reader of weights says what is wrong with it


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "tuned.safetensors"
    write_tuned(path, TENSORS, OWN)
    whole = path.read_bytes()
    for place in range(8, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="is damaged"):
            verify(path)
    for length in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is damaged"):
            verify(path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "its card is damaged"),
        ("[1]", "its card is damaged"),
        ('{"format": 1, "base": 3}', "its card is damaged"),
        ('{"format": 2}', "later version of napari_sam; update"),
    ],
)
def test_cards_of_others_are_refused(tmp_path, text, error):
    path = tmp_path / "tuned.safetensors"
    save_file(TENSORS, path, {CARD: text})
    with pytest.raises(ValueError, match=error):
        read_card(path)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a .safetensors file, but this is tuned.pth"):
        write_tuned(tmp_path / "tuned.pth", TENSORS, OWN)
    with pytest.raises(ValueError, match="no tuned weights"):
        write_tuned(tmp_path / "tuned.safetensors", {}, OWN)
    with pytest.raises(ValueError, match="values of JSON only"):
        write_tuned(tmp_path / "tuned.safetensors", TENSORS, replace(OWN, settings={"x": {1}}))
    with pytest.raises(ValueError, match="no place for the result"):
        write_tuned(tmp_path / "missing" / "tuned.safetensors", TENSORS, OWN)
    assert not list(tmp_path.iterdir())
