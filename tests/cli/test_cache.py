"""`napari-sam cache`."""

from __future__ import annotations

import numpy as np

from napari_sam.predict.cache import DiskCache


def test_cache_tells_what_is_kept_and_empties_it(succeed, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path / "cache"))
    disk = DiskCache()
    for key in ("0" * 64, "1" * 64):
        disk.put(key, {"codes": np.zeros(1_000_000, np.uint8)})
    out = succeed("cache").splitlines()
    assert out[0].split() == ["folder", str(tmp_path / "cache")]
    assert out[1].split() == ["planes", "2"]
    assert out[2].split() == ["size", "2.0", "of", "5,000", "MB"]
    assert "2 planes, 2.0 MB, removed from" in succeed("cache", "--clear")
    assert disk.usage().planes == 0
    assert "0 planes, 0.0 MB, removed" in succeed("cache", "--clear")


def test_a_cache_that_cannot_be_emptied_is_told(fail, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path))
    (tmp_path / f"{'0' * 64}.safetensors").mkdir()  # no file, so it cannot be removed as one
    assert "cannot be removed" in fail("cache", "--clear")
