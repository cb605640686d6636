"""What became of the prompts of a run, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ....predict.batch import DUPLICATE
from ...unsaved import counted

ONE_BY_ONE: Mapping[str, str] = {
    "nothing": "the model sees no object",
    "duplicate": "the same as another object",
    "covered": "most of it belongs to other objects",
    "outside": "outside the image, or not in one plane",
    "unasked": "not asked yet",
}
"""What is said of one prompt, by what became of it."""


def summary(outcomes: Counter[str], passed_over: int = 0, refined: bool = False) -> str:
    """Return how many prompts gave an object, and what became of the others.

    Parameters
    ----------
    outcomes : Counter of str
        "object", and the keys of `ONE_BY_ONE`.
    passed_over : int
        Points that were no prompts of their own.
    refined : bool
        Whether kept objects were made better.
    """
    total = counted(outcomes.total(), "object" if refined else "prompt")
    what = "changed" if refined else "gave an object"
    same = "duplicate" if outcomes["duplicate"] == 1 else "duplicates"
    texts = {
        "nothing": "found nothing (the model sees none there)",
        "duplicate": f"{same} of others (IoU > {DUPLICATE:g})",
        "covered": "covered by other objects",
        "outside": "outside the image or not in one plane",
        "unasked": "not asked",
    }
    parts = [f"{outcomes[name]} {text}" for name, text in texts.items() if outcomes[name]]
    first = f"{outcomes['object']} of {total} {what}"
    more = f"; {', '.join(parts)}" if parts else ""
    over = f"; {counted(passed_over, 'point')} passed over" if passed_over else ""
    return f"{first}{more}{over}"
