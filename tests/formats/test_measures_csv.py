from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from exchanged import annotation
from skimage.measure import regionprops

from napari_sam.formats.measures_csv import write_measures

from .annotations import annotation as with_prompts


def test_measures_are_those_of_regionprops(tmp_path):
    first = annotation()
    image = np.random.default_rng(0).random(first.labels.shape)
    write_measures(first, tmp_path / "a.csv", image)
    table = pd.read_csv(tmp_path / "a.csv")
    whole = table[table["z"].isna()].set_index("label")
    assert whole.loc[4, "class"] == "nucleus"
    assert whole.loc[4, "planes"] == 2
    spacing = (2.0, 0.5, 0.5)
    for one in regionprops(first.labels, image, spacing=spacing):
        row = whole.loc[one.label]
        assert row["volume_um^3"] == pytest.approx(one.area)
        assert row["volume_voxels"] == one.num_pixels
        assert row["equivalent_diameter_um"] == pytest.approx(one.equivalent_diameter_area)
        assert row["mean_intensity"] == pytest.approx(one.intensity_mean)
        assert row["max_intensity"] == pytest.approx(one.intensity_max)
        assert [row[f"centroid_{a}_um"] for a in "zyx"] == pytest.approx(list(one.centroid))
        assert [row[f"box_{a}_first"] for a in "zyx"] == list(one.bbox[:3])
        assert [row[f"box_{a}_last"] + 1 for a in "zyx"] == list(one.bbox[3:])
    flat = table[table["z"] == 0].set_index("label")
    (one,) = regionprops(first.labels[0], image[0], spacing=spacing[1:])
    assert flat.loc[4, "area_um^2"] == pytest.approx(one.area)
    assert flat.loc[4, "centroid_y_pixels"] == pytest.approx(one.centroid[0] / 0.5)
    assert flat.loc[4, "min_intensity"] == pytest.approx(one.intensity_min)
    with pytest.raises(ValueError, match="shape"):
        write_measures(first, tmp_path / "a.csv", image[0])


def test_each_time_of_a_4d_stack_has_its_own_volume(tmp_path):
    whole = with_prompts((2, 3, 20, 30))
    whole.labels[:] = 0
    whole.labels[0, 0:2, 2:6, 3:8] = 5
    whole.labels[1, 2, 2:6, 3:8] = 5
    write_measures(whole, tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    volumes = table[table["z"].isna()]
    assert volumes["t"].tolist() == [0, 1]
    assert volumes["volume_voxels"].tolist() == [40, 20]
    assert volumes["planes"].tolist() == [2, 1]
    places = table[table["z"].notna()][["t", "z", "area_pixels"]].to_numpy().tolist()
    assert places == [[0, 0, 20], [0, 1, 20], [1, 2, 20]]


@pytest.mark.parametrize("sign", "=+-@")
def test_a_class_is_no_formula(tmp_path, sign):
    whole = annotation()
    whole.objects[4] = replace(whole.objects[4], category=f"{sign}1+1")
    write_measures(whole, tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv").set_index("label")
    assert set(table.loc[4, "class"]) == {f"'{sign}1+1"}
