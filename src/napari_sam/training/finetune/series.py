"""Examples that are neighbouring planes of one stack, stored as single files."""

from __future__ import annotations

from collections.abc import Sequence

from ...images.series import SmallPlane, numbered_series
from .examples import Example


def series_of(examples: Sequence[Example]) -> dict[str, tuple[str, int]]:
    """Return the series and the number in it of each group that is a plane of one.

    Parameters
    ----------
    examples : sequence of Example
        Those whose group is a file of a single plane count; see `numbered_series`.

    Returns
    -------
    dict of str to (str, int)
        By group; others are left out.
    """
    planes: dict[str, Example] = {}
    several = set()
    for one in examples:
        first = planes.setdefault(one.group, one)
        if not one.group or one.stack or one.digest != first.digest:
            several.add(one.group)
    return numbered_series(
        {group: SmallPlane.of(one.image) for group, one in planes.items() if group not in several}
    )
