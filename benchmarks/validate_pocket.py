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
    rows = summarise(scores)
    print_table(rows)
    seen = [r for r in rows if "(" not in r.source]
    unseen = [r for r in rows if r.source.split(" ")[0] in UNSEEN]
    for name, group in (("in-training sources", seen), ("unseen sources", unseen)):
        if group:
            click = np.mean([r.clicks[0] for r in group])
            last = np.mean([r.clicks[-1] for r in group])
            box, ellipse = (np.mean([getattr(r, k) for r in group]) for k in ("box", "ellipse"))
            print(
                f"mean over {len(group)} {name}: 1 click {click:.3f}, {args.clicks} clicks "
                f"{last:.3f}, box {box:.3f}, ellipse {ellipse:.3f}"
            )
    print(f"{len(scores)} objects in {time.perf_counter() - start:.0f} s")
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(ObjectScore.__dataclass_fields__)
            writer.writerows(astuple(s) for s in scores)


def print_table(rows: list[Summary]) -> None:
    """Print the summaries as a markdown table."""
    print("| source | objects | 1 click | best of 3 | last click | box | ellipse | |pred-true| |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        values = (r.clicks[0], r.oracle, r.clicks[-1], r.box, r.ellipse, r.calibration)
        print(f"| {r.source} | {r.objects} | " + " | ".join(f"{v:.3f}" for v in values) + " |")


if __name__ == "__main__":
    main()
