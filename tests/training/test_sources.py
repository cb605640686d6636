from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sources import (
    APART_GROUPS,
    KINDS,
    UNSEEN,
    filled,
    kind_of,
    load_source,
    load_sources,
    part_of,
    stacks_by_number,
    unit_of,
)


def write(path, names, tags=None, dtype=np.uint8):
    entries = {"names": np.array(names), "n": np.array(len(names))}
    entries["tags"] = np.array([json.dumps(tag) for tag in tags or [{}] * len(names)])
    for k in range(len(names)):
        entries[f"image_{k:03d}"] = np.full((8, 9), k, dtype)
        entries[f"labels_{k:03d}"] = np.full((8, 9), k, np.uint16)
    np.savez(path, **entries)


@pytest.mark.parametrize(
    ("source", "names", "unit"),
    [
        ("bbbc039", ["a_1", "b_2_y0x256"], "fluo_520x696"),
        ("hippocampus_mri", ["hippocampus_001_y0x0", "hippocampus_002"], "hippocampus_1"),
        ("hippocampus_mri", ["hippocampus_003", "hippocampus_004_y64x0"], "hippocampus_2"),
        ("sunnybrook_cmr", ["SC-HF-I-01-IM-0001", "SC-HF-I-01-IM-0099"], "SC-HF-I-01"),
        ("axon_sem", ["sub-rat3_sample-1", "sub-rat3_sample-2_y0x0"], "sub-rat3"),
        ("left_atrium_mri", ["la_007_z12", "la_007_z80"], "la_007"),
        ("ms_flair_lesions", ["ms_012001", "ms_012070"], "ms_012"),
        ("msd_spleen_ct", ["10003_spleen_26", "10004_spleen_26"], "spleen_26"),
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


def test_the_tag_group_is_the_unit_except_in_dsb2018():
    assert unit_of("hvsmr_heart_mri", "hvsmr_10000_121", "hvsmr_10000") == "hvsmr_10000"
    assert unit_of("dsb2018", "00a1", "fluo_256x256") == "00a1"
    groups = [f"group_{k}" for k in range(40)]
    parts = {group: {part_of("s", f"x{k}", group) for k in range(9)} for group in groups}
    assert all(len(found) == 1 for found in parts.values())
    assert set.union(*parts.values()) == {"train", "validation"}


@pytest.mark.parametrize("source", ["isbi2012_em", "busi_us", "krd_wbc"])
def test_unseen_sources_are_never_trained_on(source):
    assert source in UNSEEN
    assert {part_of(source, f"image_{k}") for k in range(200)} == {"unseen"}


def test_a_group_is_kept_apart_in_its_own_source_only():
    (group,) = APART_GROUPS
    assert {part_of("dsb2018", f"image_{k}", group) for k in range(50)} == {"apart"}
    assert "apart" not in {part_of("other", f"image_{k}", group) for k in range(50)}


def test_one_acquisition_of_two_sources_is_in_one_part():
    parts = {part_of("bbbc039", f"plate_{k}") for k in range(50)}
    parts |= {part_of("dsb2018", f"image_{k}", "fluo_520x696") for k in range(50)}
    assert parts == {"train"}


def test_a_fifth_of_the_units_validates_by_the_hash_of_the_name():
    names = [f"image_{k}" for k in range(2000)]
    parts = [part_of("emps_particles", name) for name in names]
    for name, part in zip(names[:50], parts, strict=False):
        number = int(hashlib.sha1(name.encode()).hexdigest(), 16)
        assert part == ("train" if number % 5 else "validation")
    assert set(parts) == {"train", "validation"}
    assert 0.17 < parts.count("validation") / 2000 < 0.23


def test_every_source_has_one_kind():
    sources = [source for names in KINDS.values() for source in names]
    assert len(sources) == len(set(sources))
    assert set(UNSEEN) <= set(sources)
    assert 14 <= len(KINDS) <= 20
    assert kind_of("flyem_medulla_fibsem") == kind_of("axon_sem") == "axons and neurites, EM"
    assert kind_of("a new one") == "a new one"


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("fluo_256x256", "nuclei, fluorescence"),
        ("colorpurple_256x320", "nuclei, stained"),
        ("brightfield_1024x1024", "nuclei, stained"),
    ],
)
def test_dsb2018_shows_two_kinds(tmp_path, group, kind):
    write(tmp_path / "dsb2018.npz", ["a"], [{"group": group}])
    (item,) = load_source(tmp_path / "dsb2018.npz", ["train", "validation"])
    assert item.kind == kind
    assert item.kind in KINDS


def test_a_source_gives_the_images_of_the_parts_that_are_wanted(tmp_path):
    names = [f"image_{k}" for k in range(20)]
    write(tmp_path / "emps_particles.npz", names)
    found = {}
    for part in ("train", "validation", "unseen", "apart"):
        images = load_source(tmp_path / "emps_particles.npz", [part])
        assert all(part_of("emps_particles", i.name) == i.part == part for i in images)
        found[part] = [i.name for i in images]
    assert sorted(found["train"] + found["validation"]) == sorted(names)
    assert len(found["train"]) > len(found["validation"]) > 0
    assert not found["unseen"]
    assert not found["apart"]
    image = load_source(tmp_path / "emps_particles.npz", ["train"])[0]
    index = names.index(image.name)
    assert (image.labels == index).all()
    assert image.labels.dtype == np.int32
    assert image.image.dtype == np.uint8
    assert not image.exhaustive
    assert image.stack == ""


def test_grey_values_are_stretched_and_colours_are_not(tmp_path):
    grey = np.arange(72, dtype=np.uint16).reshape(8, 9) * 100
    colour = np.full((8, 9, 3), 40, np.uint8)
    entries = {"image_000": grey, "image_001": colour}
    entries |= {f"labels_{k:03d}": np.zeros((8, 9), np.int32) for k in range(2)}
    np.savez(tmp_path / "s.npz", names=["a", "b"], tags=["{}", "{}"], n=2, **entries)
    one, two = load_source(tmp_path / "s.npz", ["train", "validation"])
    assert one.image.shape == (8, 9)
    assert (one.image.min(), one.image.max()) == (0, 255)
    np.testing.assert_array_equal(two.image, colour)


def test_whether_all_is_labelled_is_said_by_the_tag_of_an_image(tmp_path):
    tags = [{"group": "g", "exhaustive": True}, {"group": "g", "exhaustive": False}]
    write(tmp_path / "bbbc010_worms.npz", ["a", "b"], tags)
    images = load_source(tmp_path / "bbbc010_worms.npz", ["train", "validation"])
    assert [item.exhaustive for item in images] == [True, False]


def test_unseen_sources_do_not_load_for_training(tmp_path):
    write(tmp_path / "isbi2012_em.npz", ["a", "b", "c"])
    write(tmp_path / "axon_sem.npz", [f"sub-{k}_x" for k in range(20)])
    assert list(load_sources(tmp_path, ["train"])) == ["axon_sem"]
    assert list(load_sources(tmp_path, ["unseen"])) == ["isbi2012_em"]
    assert load_sources(tmp_path, ["train"])["axon_sem"][0].exhaustive
    assert load_sources(tmp_path, ["unseen"], exclude=["isbi2012_em"]) == {}


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.npz source"):
        load_sources(tmp_path, ["train"])
    np.savez(tmp_path / "a.npz", names=np.array(["x"]))
    with pytest.raises(ValueError, match=r"no \['tags'\]"):
        load_source(tmp_path / "a.npz", ["train"])
    np.savez(tmp_path / "a.npz", names=np.array(["x"]), tags=np.array(["{}"]))
    with pytest.raises(ValueError, match="does not hold all"):
        load_source(tmp_path / "a.npz", ["train", "validation"])


def test_pickles_are_not_read(tmp_path):
    names = np.array(["a"], dtype=object)
    np.savez(tmp_path / "a.npz", names=names, tags=np.array(["{}"]), n=1)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_source(tmp_path / "a.npz", ["train"])


def test_outlines_are_filled(tmp_path):
    labels = np.zeros((20, 20), np.int32)
    labels[3:12, 3:12] = 5
    labels[4:11, 4:11] = 0
    whole = filled(labels)
    assert (whole[3:12, 3:12] == 5).all()
    assert not whole[15:].any()
    for source, area in (("hc18_fetal_head_us", 81), ("busi_us", 32)):
        path = tmp_path / f"{source}.npz"
        pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
        np.savez(path, names=["a"], tags=["{}"], n=1, image_000=pixels, labels_000=labels)
        (item,) = load_source(path, ["train", "validation", "unseen"])
        assert (item.labels == 5).sum() == area


def test_neighbouring_slices_are_those_at_the_same_time():
    names = ["a-IM-0008", "a-IM-0019", "a-IM-0028", "a-IM-0048", "a-IM-0088", "b-IM-0028"]
    stacks = stacks_by_number(names, 20)
    assert stacks == [
        ("a-IM-08", 0),
        ("a-IM-19", 0),
        ("a-IM-08", 1),
        ("a-IM-08", 2),
        ("a-IM-08", 4),
        ("b-IM-08", 1),
    ]


def test_slices_of_the_heart_are_linked_and_others_are_not(tmp_path):
    names = ["SC-HF-I-01-IM-0001-0048", "SC-HF-I-01-IM-0001-0068"]
    for source in ("sunnybrook_cmr", "hippocampus_mri_2"):
        write(tmp_path / f"{source}.npz", names)
    parts = ["train", "validation"]
    one, two = load_source(tmp_path / "sunnybrook_cmr.npz", parts)
    assert one.stack == two.stack == "SC-HF-I-01-IM-0001-08"
    assert (one.place, two.place) == (2, 3)
    assert {i.stack for i in load_source(tmp_path / "hippocampus_mri_2.npz", parts)} == {""}
