"""Whether the comparison after training refuses labels of other images.

    python benchmarks/wrong_labels.py --data FOLDER [--sources isbi2012_em,busi_us] [--steps 60]

The folder holds `.npz` sources (`image_000`, `labels_000`, ...). `pocket` is tuned on images of a
source twice: with their own labels, and with those of another image each. The held-out labels are
then wrong as well. The table shows IoU after one click before and after on the held-out labels,
the control (the same with the image turned by 180 degrees), and the verdict.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_sam.evaluate.report import as_markdown
from napari_sam.images.labelled import LabelledPlane, read_source
from napari_sam.steps import drive
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.proven import proven_tuning
from napari_sam.training.finetune.split import split
from napari_sam.training.finetune.tune_params import TuneParams


def main() -> None:
    """Parse the command line, train on right and wrong labels, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", default="isbi2012_em,busi_us")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    rows = [("source", "labels", "before", "after", "control", "objects", "taken", "verdict")]
    for source in args.sources.split(","):
        planes = list(read_source(args.data / f"{source}.npz"))
        chosen = np.unique(np.linspace(0, len(planes) - 1, args.images).astype(int))
        planes = [planes[k] for k in chosen]
        for wrong in (False, True):
            rows.append(row(source, planes, args.steps, wrong))
            print(as_markdown([rows[0], rows[-1]]), flush=True)
    print(as_markdown(rows))


def row(source: str, planes: list[LabelledPlane], steps: int, wrong: bool) -> tuple[str, ...]:
    """Tune once; return a row of the table."""
    shift = len(planes) // 2 if wrong else 0
    others = [*planes[shift:], *planes[:shift]]
    examples = []
    for plane, other in zip(planes, others, strict=True):
        labels = placed(other.labels, plane.labels.shape)
        sparse = np.zeros(labels.shape, bool)
        examples.append(Example(plane.name, np.asarray(plane.image), labels, sparse))
    with TemporaryDirectory() as folder:
        params = TuneParams(steps=steps)
        made = drive(
            proven_tuning("pocket", split(examples), params, Path(folder), everything=False), print
        )
    versus = made.versus
    first, control = versus.rows[0], versus.control
    figures = (f"{first.before:.3f}", f"{first.after:.3f}", f"{control.before:.3f}")
    taken = "yes" if versus.better else "no"
    kind = "of other images" if wrong else "own"
    return (source, kind, *figures, str(first.objects), taken, versus.verdict)


def placed(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels in an image of another shape: cut, or with ground added."""
    out = np.zeros(shape, np.int32)
    part = labels[: shape[0], : shape[1]]
    out[: part.shape[0], : part.shape[1]] = part
    return out


if __name__ == "__main__":
    main()
