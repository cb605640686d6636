"""The validation table of a model: every source, as a markdown table and a CSV file.

The split is that of `napari_sam.training.split`; the data are `.npz` sources as described in
docs/models.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np

from napari_sam import SamPredictor, Session, load_model
from napari_sam.evaluate import (
    ObjectScore,
    Summary,
    plane_answer,
    score_image,
    session_answer,
    summarise,
)
from napari_sam.training.data import load_source
from napari_sam.training.split import UNSEEN

BEGIN, END = "<!-- validation -->", "<!-- /validation -->"


def main() -> None:
    """Parse the command line, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--clicks", type=int, default=1)
    parser.add_argument("--limit", type=int, help="objects per image at most")
    parser.add_argument("--images", type=int, help="images per source at most")
    parser.add_argument("--sources", nargs="*", help="only these")
    parser.add_argument("--session", action="store_true", help="let the session look closer")
    parser.add_argument("--csv", type=Path, help="one line per object")
    parser.add_argument("--write", type=Path, help="markdown page to put the table into")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    session = Session(predictor)
    scores: list[ObjectScore] = []
    start = time.perf_counter()
    for path in sorted(args.data.glob("*.npz")):
        if args.sources and path.stem not in args.sources:
            continue
        for part in ("validation", "unseen", "apart"):
            items = load_source(path, [part])
            if args.images and len(items) > args.images:
                chosen = np.linspace(0, len(items) - 1, args.images).astype(int)
                items = [items[i] for i in chosen]
            source = path.stem if part == "validation" else f"{path.stem} ({part})"
            for item in items:
                if args.session:
                    answer = session_answer(session, item.image)
                else:
                    answer = plane_answer(predictor, item.image)
                scores += score_image(
                    answer, item.labels, source, item.name, args.clicks, args.limit
                )
                print(f"{source} {item.name}", file=sys.stderr)
    text = report(summarise(scores), args.clicks)
    print(text)
    print(f"{len(scores)} objects in {time.perf_counter() - start:.0f} s")
    if args.write:
        page = args.write.read_text()
        before, rest = page.split(BEGIN)
        args.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(ObjectScore.__dataclass_fields__)
            writer.writerows(astuple(s) for s in scores)


def report(rows: list[Summary], clicks: int) -> str:
    """Return the summaries as a markdown table, and the means over sources."""
    head = ("source", "objects", "1 click", "best of 3", f"{clicks} clicks", "box", "ellipse")
    lines = ["| " + " | ".join((*head, "predicted - true")) + " |", "|---" * 8 + "|"]
    for r in rows:
        cells = " | ".join(f"{v:.3f}" for v in figures(r))
        lines.append(f"| {r.source} | {r.objects} | {cells} |")
    seen = [r for r in rows if "(" not in r.source]
    unseen = [r for r in rows if r.source.split(" ")[0] in UNSEEN]
    for name, group in (("in-training sources", seen), ("unseen sources", unseen)):
        if group:
            means = np.mean([figures(r) for r in group], axis=0)
            cells = " | ".join(f"**{v:.3f}**" for v in means)
            total = sum(r.objects for r in group)
            lines.append(f"| **mean over {len(group)} {name}** | {total} | {cells} |")
    return "\n".join(lines)


def figures(r: Summary) -> tuple[float, ...]:
    """Return the columns of the table."""
    return (r.clicks[0], r.oracle, r.clicks[-1], r.box, r.ellipse, r.calibration)


if __name__ == "__main__":
    main()
