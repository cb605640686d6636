"""Which labelled image trains, which validates and which is never trained on: fixed for good."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Part = Literal["train", "validation", "unseen", "apart"]

UNSEEN = ("isbi2012_em", "busi_us", "krd_wbc")
"""Sources that no training may touch; their terms are not confirmed."""

APART_GROUPS = ("fluo_512x640",)
"""Groups of dsb2018 that are wholly left out and reported apart."""

_ONE_ACQUISITION = "fluo_520x696"  # bbbc039 shows the same plates as this group of dsb2018


def unit_of(source: str, name: str, group: str = "") -> str:
    """Return what must stay together: a patient, volume, animal, field or acquisition.

    Parameters
    ----------
    source : str
        Name of the source (its file without the ending).
    name : str
        Name of the image in it.
    group : str
        The image's `group` tag, of dsb2018.

    Returns
    -------
    str
    """
    if source == "bbbc039" or group == _ONE_ACQUISITION:
        return _ONE_ACQUISITION
    field = re.sub(r"_y\d+x\d+$", "", name)
    if source == "hippocampus_mri":  # volumes 2k-1 and 2k show one subject
        return f"hippocampus_{(int(field.split('_')[1]) + 1) // 2}"
    pattern = {
        "sunnybrook_cmr": r"^(.*)-IM-",
        "ctc_msc_fluo": r"^(msc_\d+)",
        "axon_sem": r"^(sub-[^_]+)",
        "left_atrium_mri": r"^(la_\d+)",
        "ms_flair_lesions": r"^(ms_\d{3})",
        "msd_spleen_ct": r"(spleen_\d+)$",
    }.get(source)
    match = re.search(pattern, field) if pattern else None
    return match.group(1) if match else field


def part_of(source: str, name: str, group: str = "") -> Part:
    """Return the part that an image belongs to.

    A unit validates if the SHA-1 of its name, read as a number, is a multiple of five. The
    unseen sources and the groups kept apart are decided first.
    """
    if source in UNSEEN:
        return "unseen"
    if source == "dsb2018" and group in APART_GROUPS:
        return "apart"
    digest = hashlib.sha1(unit_of(source, name, group).encode(), usedforsecurity=False)
    return "validation" if int(digest.hexdigest(), 16) % 5 == 0 else "train"
