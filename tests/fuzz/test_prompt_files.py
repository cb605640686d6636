"""Damaged files of prompts: prompts, or one `ValueError` of one sentence that names the file."""

from __future__ import annotations

import json
import os
import re
import warnings

import numpy as np
import pytest

from napari_sam.formats.prompt_files.known import read_prompt_file

CASES = int(os.environ.get("NAPARI_SAM_FUZZ", "200"))
"""Damaged files of each form; 2,000 by hand."""
VALUES = ("-1", "0", "1e999", "NaN", "99999999999999999999", '"x"', "null", "[]", "{}", "2.5", "")
RING = [[10, 4], [20, 4], [20, 10], [10, 4]]
RESULT = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 8, 6], "score": 0.5}
GEO = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [RING], "plane": {"z": 1, "t": 0}},
    "properties": {"classification": {"name": "a"}, "measurements": {"score": 0.5}},
}
FILES = {
    "results.json": json.dumps([RESULT, {**RESULT, "segmentation": [[1, 1, 9, 1, 9, 9]]}]),
    "coco.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png", "plane": [0]}],
            "annotations": [RESULT],
            "categories": [{"id": 2, "name": "cell"}],
        }
    ),
    "q.geojson": json.dumps({"type": "FeatureCollection", "features": [GEO, GEO]}),
    "y.txt": "0 0.5 0.5 0.2 0.2 0.9\n1 0.1 0.1 0.5 0.1 0.5 0.5\n",
    "p.csv": "x,y,z,object,label,class,score\n1,2,0,a,object,cell,0.5\n3,4,1,a,background,cell,\n",
    "b.csv": "x0,y0,x1,y1,z\n1,2,8,9,1\n",
    "g.csv": "x,y,z,time_ms\n" + "".join(f"{k % 3},5,0,{16 * k}\n" for k in range(20)),
}


def damaged(text: str, rng: np.random.Generator) -> str:
    """Return a text in which numbers are others, or which is cut off or changed anywhere."""
    kind = rng.integers(3)
    if kind == 0:
        return text[: rng.integers(len(text) + 1)]
    if kind == 1:
        spots = [*re.finditer(r"-?\d+(?:\.\d+)?|\"[^\"]*\"", text)]
        spot = spots[rng.integers(len(spots))]
        return text[: spot.start()] + VALUES[rng.integers(len(VALUES))] + text[spot.end() :]
    place = int(rng.integers(len(text)))
    return text[:place] + chr(rng.integers(1, 256)) + text[place + rng.integers(2) :]


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_prompts_give_one_sentence(name, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / name
    sentences = []
    for case in range(CASES):
        path.write_text(damaged(FILES[name], rng), encoding="utf-8")
        shape = (3, 40, 60) if case % 2 else (40, 60)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read_prompt_file(path, shape)
        except ValueError as error:
            sentences.append(str(error))
    assert sentences
    wrong = [one for one in sentences if "\n" in one or name not in one]
    assert not wrong
