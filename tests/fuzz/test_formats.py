"""Damaged files of every format that is read: an annotation, or one `ValueError` of one sentence.

A file that the format writes is damaged: bits flip, ends are cut off, numbers become others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from exchanged import annotation
from medical import write_series

from napari_sam.formats.exchange import FORMATS
from napari_sam.formats.imagej_roi import write_rois
from napari_sam.formats.imports import import_objects, objects_of
from napari_sam.formats.yolo import write_yolo
from napari_sam.images.readers import read_image
from napari_sam.objects import Canvas, ObjectStore
from napari_sam.objects.documents import edit_from_json, edit_to_json
from napari_sam.steps import drive

CASES = int(os.environ.get("NAPARI_SAM_FUZZ", "40"))
"""Damaged files of each format; 2,000 by hand."""
MOST_MEMORY = 2**28
"""Bytes that reading a file of a few kilobytes may take."""
NUMBERS = (b"-1", b"0", b"1e999", b"NaN", b"99999999999999999999", b'"x"', b"null", b"[]", b"2.5")
READ = {one.title: one for one in FORMATS if one.read is not None}


def damaged(data, rng):
    """Return bytes with some of them changed."""
    kind = rng.integers(5)
    if not data or kind == 0:
        return data[: rng.integers(len(data) + 1)]
    if kind == 1:
        spots = [*re.finditer(rb"-?\d+(?:\.\d+)?", data)]
        if spots:
            spot = spots[rng.integers(len(spots))]
            number = NUMBERS[rng.integers(len(NUMBERS))]
            return data[: spot.start()] + number + data[spot.end() :]
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        place = rng.integers(len(changed))
        changed[place] = changed[place] ^ (1 << rng.integers(8)) if kind < 4 else rng.integers(256)
    return bytes(changed)


def written(one, folder):
    """Write an example that the format reads."""
    example = annotation()
    if one.suffixes == (".txt",):
        write_yolo(example, folder / "all.yolo")
        path = shutil.move(folder / "all.yolo" / "cells_0.txt", folder / "cells_0.txt")
    elif one.write is None:
        write_rois(example, folder / "all.zip")
        shutil.unpack_archive(folder / "all.zip", folder)
        path = sorted(folder.glob("*" + one.suffixes[0]))[0]
    else:
        path = folder / f"example{one.suffixes[0]}"
        if one.title.startswith("DICOM"):  # which refers to an image
            values = np.zeros(example.labels.shape, np.int16)
            scan = read_image(write_series(folder / "series", values)).scan
            example = replace(example, geometry=replace(example.geometry, scan=scan))
        one.write(example, path)
    return path, example.labels.shape


@pytest.mark.parametrize("title", READ)
def test_damaged_files_give_one_sentence(title, tmp_path):
    one = READ[title]
    rng = np.random.default_rng(0)
    path, shape = written(one, tmp_path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    whole = {file: file.read_bytes() for file in files}
    sentences = []
    tracemalloc.start()
    try:
        for case in range(CASES):
            file = files[rng.integers(len(files))]
            file.write_bytes(damaged(whole[file], rng))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    np.asarray(one.read(path, shape if case % 2 else None).labels[:])
            except ValueError as error:
                sentences.append(str(error))
            file.write_bytes(whole[file])
            assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY, case
    finally:
        tracemalloc.stop()
    assert sentences
    assert not [one for one in sentences if not one or "\n" in one]


def test_damaged_edits_give_one_sentence():
    """Of a journal or a project: objects, prompts and pixels as JSON."""
    example = annotation()
    store = ObjectStore(Canvas(np.zeros(example.labels.shape, np.int32)))
    edit = drive(import_objects(store, objects_of(example)))
    whole = json.dumps(edit_to_json(edit)).encode()
    rng = np.random.default_rng(0)
    sentences, case = [], 0
    tracemalloc.start()
    try:
        while case < CASES:
            try:
                data = json.loads(damaged(whole, rng).decode())
            except ValueError:
                continue  # no JSON; its readers say so
            case += 1
            try:
                edit_from_json(data)
            except ValueError as error:
                sentences.append(str(error))
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert sentences
    assert not [one for one in sentences if not one or "\n" in one]
