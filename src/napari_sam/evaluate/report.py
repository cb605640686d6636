"""What `evaluate` found, as tables and as JSON."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from .scores import THRESHOLDS, Summary


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows of text as columns, the first row being the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def means(summaries: list[Summary]) -> dict[str, float]:
    """Return the mean of each figure over the sources."""
    return {
        name: float(np.mean([s.figures[name].mean for s in summaries]))
        for name in summaries[0].figures
    }


def precisions(planes: list[NDArray[np.float64]]) -> dict[str, float]:
    """Return the scores of everything mode: the means over planes."""
    means = np.nanmean(planes, axis=0)
    at = dict(zip(THRESHOLDS, means.tolist(), strict=True))
    return {"AP50": at[0.5], "AP75": at[0.75], "AP": float(means.mean())}


def as_json(
    model: str, summaries: list[Summary], found: dict[str, list[NDArray[np.float64]]]
) -> str:
    """Return everything as JSON; each figure with its interval."""
    sources = [
        {
            "source": s.source,
            "objects": s.objects,
            "images": s.images,
            "figures": {name: figure._asdict() for name, figure in s.figures.items()},
        }
        for s in summaries
    ]
    everything = {source: precisions(planes) for source, planes in found.items()}
    mean = means(summaries)
    return json.dumps({"model": model, "sources": sources, "mean": mean, "everything": everything})


def as_text(summaries: list[Summary], found: dict[str, list[NDArray[np.float64]]]) -> str:
    """Return the tables of clicks and boxes and, if it was scored, of everything mode."""
    parts = [table(object_rows(summaries))]
    if found:
        parts.append(table(plane_rows(found)))
    return "\n\n".join(parts)


def as_markdown(rows: list[tuple[str, ...]]) -> str:
    """Return rows of text as a table of a page, the first row being the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def object_rows(summaries: list[Summary]) -> list[tuple[str, ...]]:
    """Return a table of clicks and boxes; behind each mean half its interval.

    One image says nothing of others, so there is no interval then. The ellipse never looks at the
    image, so a box answer should beat it.
    """
    rows = [
        (
            s.source,
            str(s.objects),
            *(
                f"{f.mean:.3f}" + (f"±{(f.high - f.low) / 2:.2f}" if s.images > 1 else "")
                for f in s.figures.values()
            ),
        )
        for s in summaries
    ]
    total = str(sum(s.objects for s in summaries))
    rows.append(("mean", total, *(f"{value:.3f}" for value in means(summaries).values())))
    return [("source", "objects", *summaries[0].figures), *rows]


def plane_rows(found: dict[str, list[NDArray[np.float64]]]) -> list[tuple[str, ...]]:
    """Return a table of everything mode."""
    rows = [
        (source, str(len(planes)), *(f"{value:.3f}" for value in precisions(planes).values()))
        for source, planes in found.items()
    ]
    return [("everything", "planes", "AP50", "AP75", "AP"), *rows]
