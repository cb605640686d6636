from __future__ import annotations

import hashlib

import pytest

from napari_sam.training.split import APART_GROUPS, UNSEEN, part_of, unit_of


@pytest.mark.parametrize(
    ("source", "names", "unit"),
    [
        ("bbbc039", ["a_1", "b_2_y0x256"], "fluo_520x696"),
        ("hippocampus_mri", ["hippocampus_001_y0x0", "hippocampus_002"], "hippocampus_1"),
        ("hippocampus_mri", ["hippocampus_003", "hippocampus_004_y64x0"], "hippocampus_2"),
        ("sunnybrook_cmr", ["SC-HF-I-01-IM-0001", "SC-HF-I-01-IM-0099"], "SC-HF-I-01"),
        ("ctc_msc_fluo", ["msc_01_t003", "msc_01_t047_y0x512"], "msc_01"),
        ("axon_sem", ["sub-rat3_sample-1", "sub-rat3_sample-2_y0x0"], "sub-rat3"),
        ("left_atrium_mri", ["la_007_z12", "la_007_z80"], "la_007"),
        ("ms_flair_lesions", ["ms_012_z1", "ms_012_z70"], "ms_012"),
        ("emps_particles", ["field9_y0x0", "field9_y512x0", "field9"], "field9"),
    ],
)
def test_what_belongs_together_is_one_unit_and_stays_in_one_part(source, names, unit):
    assert {unit_of(source, name) for name in names} == {unit}
    assert len({part_of(source, name) for name in names}) == 1


def test_neighbours_are_other_units():
    assert unit_of("hippocampus_mri", "hippocampus_002") != unit_of(
        "hippocampus_mri", "hippocampus_003"
    )
    assert unit_of("emps_particles", "a") != unit_of("emps_particles", "b")


@pytest.mark.parametrize("source", UNSEEN)
def test_unseen_sources_are_never_trained_on(source):
    assert {part_of(source, f"image_{k}") for k in range(200)} == {"unseen"}
    assert "isbi2012_em" in UNSEEN


def test_a_group_is_kept_apart_in_its_own_source_only():
    (group,) = APART_GROUPS
    assert {part_of("dsb2018", f"image_{k}", group) for k in range(50)} == {"apart"}
    assert "apart" not in {part_of("other", f"image_{k}", group) for k in range(50)}


def test_one_acquisition_of_two_sources_is_in_one_part():
    parts = {part_of("bbbc039", f"plate_{k}") for k in range(50)}
    parts |= {part_of("dsb2018", f"image_{k}", "fluo_520x696") for k in range(50)}
    assert len(parts) == 1


def test_a_fifth_of_the_units_validates_by_the_hash_of_the_name():
    names = [f"image_{k}" for k in range(2000)]
    parts = [part_of("emps_particles", name) for name in names]
    for name, part in zip(names[:50], parts, strict=False):
        number = int(hashlib.sha1(name.encode()).hexdigest(), 16)
        assert part == ("train" if number % 5 else "validation")
    assert set(parts) == {"train", "validation"}
    assert 0.17 < parts.count("validation") / 2000 < 0.23
