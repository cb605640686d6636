"""`napari-sam forget`."""

from __future__ import annotations

import os

import numpy as np
import pytest
from journal_work import SmallTarget

from napari_sam.objects.edit import Edit
from napari_sam.objects.journal_folder import journal_folder, left_over, new_journal
from napari_sam.predict.cache import DiskCache


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_SAM_STATE_DIR", str(tmp_path / "state"))


def journal(days=0):
    one = new_journal(journal_folder())
    one.made(1, SmallTarget(), Edit("a point"))
    if days:
        one.close()
        then = one.path.stat().st_mtime - days * 24 * 3600
        os.utime(one.path, (then, then))
    return one


def test_cache_and_journals_go_but_not_those_in_use(succeed):
    DiskCache().put("0" * 64, {"codes": np.zeros(1_000_000, np.uint8)})
    journal(days=1)
    working = journal()
    out = succeed("forget").splitlines()
    assert out[0].startswith("1 planes, 1.0 MB, removed from")
    assert out[1].startswith("1 journals, ")
    assert DiskCache().usage().planes == 0
    assert working.path.exists()
    working.close()


def test_only_old_journals_go(succeed):
    DiskCache().put("0" * 64, {"codes": np.zeros(1000, np.uint8)})
    journal(days=1)
    journal(days=9)
    assert "1 journals, " in succeed("forget", "--older-than", "5")
    assert len(left_over(journal_folder())) == 1
    assert DiskCache().usage().planes == 1


def test_an_age_that_is_no_number_is_refused(fail):
    assert "--older-than" in fail("forget", "--older-than", "nan")


def test_nothing_is_there_to_forget(succeed):
    assert "0 journals, 0.0 MB, removed from" in succeed("forget")
