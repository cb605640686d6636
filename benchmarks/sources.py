"""What is known of each data set by its name, and the images of the `.npz` sources."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam.images.labelled import read_source
from napari_sam.images.transforms import to_rgb8
from napari_sam.training.labelled_images import LabelledImage

Part = Literal["train", "validation", "unseen", "apart"]

KINDS = {
    "nuclei, fluorescence": ("dsb2018", "bbbc039", "neuroblastoma_fluo"),
    "nuclei, stained": ("nuinsseg_oesophagus_he",),
    "glands and glomeruli, stained tissue": ("rings_prostate_glands", "glomeruli_pas"),
    "white blood cells, stained smear": ("krd_wbc",),
    "cells, phase contrast": ("usiigaci_phase", "nist_colony_phase"),
    "bacteria and worms, brightfield": ("colicoords_ecoli_bf", "bbbc010_worms"),
    "axons and neurites, EM": ("axon_sem", "flyem_medulla_fibsem", "isbi2012_em"),
    "organelles, EM": ("plant_em",),
    "particles, EM": ("emps_particles",),
    "materials, EM": ("nasa_superalloy_sem", "nasa_coating_sem"),
    "brain, MRI": ("hippocampus_mri",),
    "heart, MRI": ("sunnybrook_cmr", "left_atrium_mri", "hvsmr_heart_mri"),
    "spine, MRI": ("spider_spine_mri",),
    "abdomen, CT and MRI": ("msd_spleen_ct", "kidney_t2_mri", "pancreas_ct", "msd_hepatic_ct"),
    "lesions of the brain, CT and MRI": ("ms_flair_lesions", "bhsd_hemorrhage_ct"),
    "ultrasound": ("hc18_fetal_head_us", "nerve_vessel_us", "busi_us"),
    "retina, fundus and OCT": ("idrid_optic_disc", "fives_retina_vessels", "octa_faz"),
    "skin, dermoscopy": ("isic_skin",),
}
"""Modality and object, and the sources that show them."""

KIND_OF_GROUP = {"color": "nuclei, stained", "brightfield": "nuclei, stained"}
"""Kinds of the groups of dsb2018, by the group's first word, that show no fluorescence."""

EXHAUSTIVE = ("dsb2018", "bbbc039", "axon_sem", "hippocampus_mri", "isbi2012_em")
"""Sources without the tag `exhaustive` in which every object is labelled."""

OUTLINED = ("hc18_fetal_head_us",)
"""Sources whose labels are outlines of the objects."""

UNSEEN = ("isbi2012_em", "busi_us", "krd_wbc")
"""Sources that no training may touch; their terms are not confirmed."""

APART_GROUPS = ("fluo_512x640",)
"""Groups of dsb2018 that are wholly left out and reported apart."""

FRAMES = {"sunnybrook_cmr": 20}
"""Sources of which a name ends in a running number: images so far apart in it show neighbouring
slices at the same time."""

_ONE_ACQUISITION = "fluo_520x696"  # bbbc039 shows the same plates as this group of dsb2018

_UNIT_PATTERNS = {
    "sunnybrook_cmr": r"^(.*)-IM-",
    "axon_sem": r"^(sub-[^_]+)",
    "left_atrium_mri": r"^(la_\d+)",
    "ms_flair_lesions": r"^(ms_\d{3})",
    "msd_spleen_ct": r"(spleen_\d+)$",
}


def kind_of(source: str, group: str = "") -> str:
    """Return modality and object kind of an image; of an unknown source its name."""
    if source == "dsb2018":
        for start, kind in KIND_OF_GROUP.items():
            if group.startswith(start):
                return kind
    return next((kind for kind, names in KINDS.items() if source in names), source)


def unit_of(source: str, name: str, group: str = "") -> str:
    """Return what must stay together: a patient, volume, animal, field or acquisition.

    Parameters
    ----------
    source : str
        Name of the source (its file without the ending).
    name : str
        Name of the image in it.
    group : str
        The image's tag `group`. It is the unit, but in dsb2018, where it says modality and size.

    Returns
    -------
    str
    """
    if source == "bbbc039" or group == _ONE_ACQUISITION:
        return _ONE_ACQUISITION
    if group and source != "dsb2018":
        return group
    field = re.sub(r"_y\d+x\d+$", "", name)
    if source == "hippocampus_mri":  # volumes 2k-1 and 2k show one subject
        return f"hippocampus_{(int(field.split('_')[1]) + 1) // 2}"
    match = re.search(_UNIT_PATTERNS.get(source, "^(.*)$"), field)
    return match.group(1) if match else field


def part_of(source: str, name: str, group: str = "") -> Part:
    """Return the part that an image belongs to: fixed for good.

    A unit validates if the SHA-1 of its name, read as a number, is a multiple of five. The
    unseen sources and the groups kept apart are decided first.
    """
    if source in UNSEEN:
        return "unseen"
    if source == "dsb2018" and group in APART_GROUPS:
        return "apart"
    digest = hashlib.sha1(unit_of(source, name, group).encode(), usedforsecurity=False)
    return "validation" if int(digest.hexdigest(), 16) % 5 == 0 else "train"


def load_source(path: Path, parts: Iterable[str]) -> list[LabelledImage]:
    """Read the images of one source file that belong to `parts`.

    Parameters
    ----------
    path : Path
        A `.npz` with `image_000`, `labels_000`, ..., `names` and `tags`.
    parts : iterable of str
        "train", "validation", "unseen", "apart".

    Returns
    -------
    list of LabelledImage

    Raises
    ------
    ValueError
        If the file lacks one of the keys or holds pickles.
    """
    wanted = set(parts)
    source = path.stem
    with np.load(path, allow_pickle=False) as archive:
        missing = {"names", "tags"} - set(archive.files)
        if missing:
            raise ValueError(f"{path} is not a source of labelled images: no {sorted(missing)}")
        names = [str(name) for name in archive["names"]]
        tags = [json.loads(str(tag)) for tag in archive["tags"]]
    stacks = [("", 0)] * len(names)
    if source in FRAMES:
        stacks = stacks_by_number(names, FRAMES[source])
    groups = [tag.get("group", "") for tag in tags]
    found = [part_of(source, *pair) for pair in zip(names, groups, strict=True)]
    chosen = {k for k, part in enumerate(found) if part in wanted}
    images = []
    for plane in read_source(path, chosen):
        k = int(plane.name)
        images.append(
            LabelledImage(
                source,
                kind_of(source, groups[k]),
                names[k],
                found[k],
                plane.image if plane.image.ndim == 3 else to_rgb8(plane.image)[..., 0],
                filled(plane.labels) if source in OUTLINED else plane.labels,
                tags[k].get("exhaustive", source in EXHAUSTIVE),
                *stacks[k],
            )
        )
    if len(images) < len(chosen):
        raise ValueError(f"{path} names {len(names)} images, but does not hold all of them")
    return images


def load_sources(
    folder: Path, parts: Iterable[str], exclude: Sequence[str] = ()
) -> dict[str, list[LabelledImage]]:
    """Read every source of a folder that has images of `parts`; see `load_source`.

    Raises
    ------
    ValueError
        If the folder holds no source.
    """
    wanted = tuple(parts)
    files = sorted(p for p in folder.glob("*.npz") if p.stem not in exclude)
    if not files:
        raise ValueError(f"no .npz source of labelled images in {folder}")
    loaded = {path.stem: load_source(path, wanted) for path in files}
    return {source: images for source, images in loaded.items() if images}


def stacks_by_number(names: Sequence[str], step: int) -> list[tuple[str, int]]:
    """Return stack and place of images whose names end in a number.

    Images of one series are neighbours if their numbers are `step` apart.
    """
    stacks = []
    for name in names:
        series, number = name.rsplit("-", 1)
        stacks.append((f"{series}-{int(number) % step:02d}", int(number) // step))
    return stacks


def filled(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels (H, W) whose objects, drawn as outlines, have no holes."""
    from scipy import ndimage

    whole = labels.copy()
    for label in np.unique(labels[labels > 0]):
        whole[ndimage.binary_fill_holes(labels == label)] = label
    return whole
