"""`napari-sam everything --text`: of the objects found, those that fit words best are kept."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..everything.worded import SHARE, ImagesAndWords, Looks, best
from ..formats.label_result import LabelResult
from ..models.text_models import TEXT_SPECS, check_text_model, loading_text_model
from ..objects.segmented import SegmentedObject
from ..steps import drive
from ..types import Plane
from .commands import Say

SCORE = "text_score"
"""Name of the attribute of an object with the score of the words."""
_loaded: dict[tuple[str, str], ImagesAndWords] = {}
"""The model that was used last, for the next file of a folder."""


def check_text(args: Namespace) -> None:
    """Refuse what cannot be done with `--text`; nothing is loaded.

    Raises
    ------
    ValueError
    """
    if args.text is None:
        for name in ("text_model", "text_share"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} goes together with --text")
        return
    if not args.text.strip():
        raise ValueError("--text is empty; name what you look for, for example --text 'round cell'")
    if args.text_model is None:
        raise ValueError(
            "--text needs --text-model: the folder of a CLIP or SigLIP model, or the name of one "
            "that is downloaded then"
        )
    if args.text_share is not None and not 0 < args.text_share <= 1:
        raise ValueError(f"--text-share lies above 0 and up to 1, but is {args.text_share}")
    for name in ("annotations", "tracks"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} tells of all objects, and --text keeps some of them")
    check_text_model(args.text_model)


def load_text(args: Namespace, say: Say) -> None:
    """Load the model of `--text`, if it is given, so that what is wrong is said before the work.

    Raises
    ------
    ValueError
    """
    if args.text is not None:
        _model(args, say)


def whole_name(model: str | None) -> str | None:
    """Return the name of a model of words, which means the same on each machine."""
    if model is None or any(one.name == model for one in TEXT_SPECS):
        return model
    return str(Path(model).resolve())


def keep_worded(
    args: Namespace, planes: Sequence[Plane], result: LabelResult, say: Say
) -> dict[str, Any]:
    """Leave out the objects that fit the words of `--text` less well than others.

    An object of a stack is judged as a whole, after its planes were joined.

    Parameters
    ----------
    args : Namespace
    planes : sequence of Plane
    result : LabelResult
        Its labels are changed; its objects get the words as their class.
    say : callable

    Returns
    -------
    dict
        What the summary says of it; the best score comes first.
    """
    looks, words = Looks(_model(args, say)), " ".join(args.text.split())
    scores = drive(looks.scores(planes, result.labels, words), say)
    chosen = best(scores, SHARE if args.text_share is None else args.text_share)
    for plane in planes:
        labels = np.asarray(result.labels[plane.key.index])
        result.labels[plane.key.index] = np.where(np.isin(labels, chosen), labels, 0)
    found = {label: round(scores[label], 4) for label in chosen}
    result.objects = {
        label: SegmentedObject(label, {}, words, attributes={SCORE: score})
        for label, score in found.items()
    }
    return {"text": words, "text_model": args.text_model, "of": len(scores), "text_scores": found}


def _model(args: Namespace, say: Say) -> ImagesAndWords:
    name = args.text_model, args.device
    if name not in _loaded:
        _loaded.clear()
        _loaded[name] = drive(loading_text_model(*name, args.offline or None), say)
    return _loaded[name]
