"""The validation tables of a model: every source, as markdown and as a CSV file.

The split is that of `sources.py`; the data are `.npz` sources as described in docs/models.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sources import UNSEEN, load_source

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, Session, load_model, masks
from napari_sam.evaluate.report import as_markdown, object_rows, plane_rows
from napari_sam.evaluate.scores import (
    ObjectScore,
    average_precision,
    background_noticed,
    plane_answer,
    pool_small,
    score_image,
    session_answer,
    summarise,
)


def main() -> None:
    """Parse the command line, score, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--clicks", type=int, default=8)
    parser.add_argument("--limit", type=int, help="objects per image at most")
    parser.add_argument("--images", type=int, help="images per source at most")
    parser.add_argument("--sources", nargs="*", help="only these")
    parser.add_argument("--everything", action="store_true", help="AP where all is labelled")
    parser.add_argument("--seeds", default="auto", help="of everything mode: grid or auto")
    parser.add_argument("--session", action="store_true", help="let the session look closer")
    parser.add_argument("--csv", type=Path, help="one line per object")
    parser.add_argument("--write", type=Path, help="markdown page to put the tables into")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    session = Session(predictor)
    params = AmgParams(**predictor.model.amg_defaults | {"seeds": args.seeds})
    generator = AutomaticMaskGenerator(predictor, params)
    scores: list[ObjectScore] = []
    found: dict[str, list[NDArray[np.float64]]] = {}
    noticed: dict[str, list[bool]] = {}
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
                if item.exhaustive:
                    noticed.setdefault(source, []).extend(background_noticed(answer, item.labels))
                if args.everything and item.exhaustive:
                    size = (item.labels.shape[0], item.labels.shape[1])
                    labels = masks.to_labels(generator.generate(item.image), size)
                    found.setdefault(source, []).append(average_precision(labels, item.labels))
                print(f"{source} {item.name}", file=sys.stderr)
    text = report(scores)
    rows = [(s, str(len(hits)), f"{np.mean(hits):.3f}") for s, hits in noticed.items() if hits]
    text += "\n\n" + as_markdown([("background", "clicks", "noticed"), *rows])
    if found:
        text += "\n\n" + as_markdown(plane_rows(found))
    print(text)
    print(f"{len(scores)} objects in {time.perf_counter() - start:.0f} s")
    if args.write:
        put(text, args.write, "validation")
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(ObjectScore.__dataclass_fields__)
            writer.writerows(astuple(s) for s in scores)


def put(text: str, page: Path, name: str) -> None:
    """Write text into a page between the comments `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def report(scores: list[ObjectScore]) -> str:
    """Return a table of the sources in training, those with few objects pooled, and of the others.

    The last row of each table is the mean over its rows.
    """
    groups = {
        "in training": [s for s in scores if "(" not in s.source],
        "unseen": [s for s in scores if s.source.split(" ")[0] in UNSEEN],
        "apart": [s for s in scores if s.source.endswith("(apart)")],
    }
    parts = []
    for name, group in groups.items():
        if group:
            rows = object_rows(summarise(pool_small(group) if name == "in training" else group))
            parts.append(f"**{name}**\n\n{as_markdown(rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
