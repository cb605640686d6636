"""What the audit of labelled images finds: in sources as they are, and of faults put into them.

    python benchmarks/audit.py --data FOLDER

The folder holds `.npz` sources. In each image two neighbouring objects are given one label, in
another copy a quarter of the objects lose theirs, in a third all labels are moved.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_sam.evaluate.report import as_markdown
from napari_sam.training.finetune.audit import audit
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.findings import Finding
from napari_sam.training.finetune.reading import read_npz

SOURCES = (
    "dsb2018", "neuroblastoma_fluo", "axon_sem", "flyem_medulla_fibsem", "isbi2012_em",
    "bbbc010_worms", "emps_particles", "nasa_superalloy_sem", "usiigaci_phase",
)  # fmt: skip
SHIFT = 12, -9
"""Rows and columns that labels are moved by."""
GAP = 3
"""Objects no farther apart than so many pixels touch."""


def main() -> None:
    """Parse the command line, audit, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", nargs="+", default=SOURCES)
    parser.add_argument("--images", type=int, default=10, help="images of each source")
    args = parser.parse_args()
    rows = [("source", "images", "objects", "merged", "unlabelled", "shifted", "found merged",
             "found unlabelled", "found shifted")]  # fmt: skip
    for name in args.sources:
        images = [*read_npz(args.data / f"{name}.npz", None)]
        chosen = np.unique(np.linspace(0, len(images) - 1, args.images).astype(int))
        rows.append((name, *measured([images[k] for k in chosen])))
    print(as_markdown(rows))


def measured(images: Sequence[Example]) -> tuple[str, ...]:
    """Return the cells of a source."""
    rng = np.random.default_rng(0)
    as_it_is = audit(images)
    counts = Counter({kind: places(as_it_is.findings, kind) for kind in ("merged", "unlabelled")})
    shifted = sum(f.kind == "shifted" and f.example is not None for f in as_it_is.findings)
    pairs = [merge(one) for one in images]
    joined = audit([one for one, _ in pairs]).findings
    hits = sum(
        label in {k for f in joined if f.kind == "merged" and f.example == n for k in f.labels}
        for n, (_, label) in enumerate(pairs)
        if label
    )
    gone = [fewer(one, rng) for one in images]
    left = audit([one for one, _ in gone]).findings
    moved = audit([replace(one, labels=np.roll(one.labels, SHIFT, (0, 1))) for one in images])
    told = sum(f.kind == "shifted" and f.example is not None for f in moved.findings)
    return (
        str(len(images)),
        str(as_it_is.balance.objects),
        str(counts["merged"]),
        str(counts["unlabelled"]),
        str(shifted),
        f"{hits} of {sum(label > 0 for _, label in pairs)}",
        f"{max(0, places(left, 'unlabelled') - counts['unlabelled'])} of {sum(n for _, n in gone)}",
        f"{told} of {len(images)}",
    )


def places(findings: Sequence[Finding], kind: str) -> int:
    """Return how many objects or places findings of a kind are about."""
    return sum(len(f.boxes) for f in findings if f.kind == kind)


def merge(one: Example) -> tuple[Example, int]:
    """Give two neighbouring objects one label and fill the gap; return it, 0 if there are none."""
    for k in one.objects:
        own = one.labels == k
        ring = ndimage.binary_dilation(own, iterations=GAP) & ~own & (one.labels > 0)
        if np.count_nonzero(ring) < 4:
            continue
        other = one.labels == np.bincount(one.labels[ring]).argmax()
        bridge = ndimage.binary_dilation(own, iterations=GAP // 2)
        bridge &= ndimage.binary_dilation(other, iterations=GAP // 2)
        joined = own | other | bridge
        if ndimage.label(joined, np.ones((3, 3)))[1] == 1:
            return replace(one, labels=np.where(joined, np.int32(k), one.labels)), k
    return one, 0


def fewer(one: Example, rng: np.random.Generator) -> tuple[Example, int]:
    """Take away a quarter of the labels; return how many."""
    gone = rng.choice(one.objects, max(1, len(one.objects) // 4), replace=False)
    labels = np.where(np.isin(one.labels, gone), np.int32(0), one.labels)
    return replace(one, labels=labels), len(gone)


if __name__ == "__main__":
    main()
