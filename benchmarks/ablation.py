"""What parts of `pocket` are worth: the figures with one of them switched off at a time.

The switches act on the trained network; that is not the same as training without a part.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from sources import load_source
from validate_pocket import put

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, Session, load_model, masks
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import average_precision, plane_answer, score_image, session_answer
from napari_sam.models.pocket_windows import PromptBatch
from napari_sam.training.labelled_images import LabelledImage

SOURCES = ("dsb2018", "emps_particles", "usiigaci_phase", "axon_sem", "isbi2012_em", "busi_us")


@dataclass(frozen=True)
class Switch:
    """One row of the table.

    Attributes
    ----------
    name : str
    off : callable
        Returns what switches the part off while it is entered.
    session : bool
        Answer through a session, which may look closer at small objects.
    seeds : str
        Of everything mode.
    tidy : bool
        Whether loose pieces and small holes are removed.
    """

    name: str
    off: Callable[[], AbstractContextManager[object]] = nullcontext
    session: bool = False
    seeds: str = "auto"
    tidy: bool = True


def one_scale() -> AbstractContextManager[object]:
    """Answer every prompt in a window of the input, none at half its size."""

    def choose_scales(prompts: PromptBatch, *_: object) -> tuple[NDArray[np.bool_], ...]:
        in_window = np.ones(len(prompts.coords), bool)
        return in_window, ~in_window

    return patch("napari_sam.models.pocket_base.choose_scales", choose_scales)


def never_asked() -> AbstractContextManager[object]:
    """Take every object from the instance head, in doubt or not."""
    return patch("napari_sam.everything.amg_instances.DOUBT", (0.0, 0.0))


SWITCHES = (
    Switch("as it is"),
    Switch("a session that looks closer at small objects", session=True),
    Switch("clicks answered at one scale, not two", one_scale),
    Switch("loose pieces and small holes stay", tidy=False),
    Switch("everything mode never asks the decoder", never_asked),
    Switch("everything mode asks on a grid of 20 x 20", seeds="grid"),
)


def row(switch: Switch, images: list[LabelledImage], clicks: int, limit: int) -> tuple[str, ...]:
    """Return the line of a switch."""
    model = load_model("pocket", "cpu")
    predictor = SamPredictor(model, tidy_masks=switch.tidy)
    session = Session(predictor)
    params = AmgParams(**model.amg_defaults | {"seeds": switch.seeds})
    generator = AutomaticMaskGenerator(predictor, params)
    scores, precision, seconds = [], [], 0.0
    with switch.off():
        for item in images:
            given = (session, item.image) if switch.session else (predictor, item.image)
            answer = session_answer(*given) if switch.session else plane_answer(*given)
            scores += score_image(answer, item.labels, item.source, item.name, clicks, limit)
            if item.exhaustive and not switch.session:
                start = time.perf_counter()
                records = generator.generate(item.image)
                seconds += time.perf_counter() - start
                size = (item.labels.shape[0], item.labels.shape[1])
                precision.append(average_precision(masks.to_labels(records, size), item.labels)[0])
            print(f"{switch.name}: {item.source} {item.name}", file=sys.stderr)
    means = [
        np.mean([s.clicks[0] for s in scores]),
        np.mean([s.clicks[-1] for s in scores]),
        np.mean([s.harm for s in scores]),
        np.mean([abs(s.predicted - s.clicks[0]) for s in scores]),
    ]
    found = ["", ""]
    if precision:
        found = [f"{np.mean(precision):.3f}", f"{seconds / len(precision):.2f}"]
    return (switch.name, *(f"{value:.3f}" for value in means), *found)


def main() -> None:
    """Parse the command line, run every switch, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=8, help="images per source")
    parser.add_argument("--limit", type=int, default=6, help="objects per image")
    parser.add_argument("--clicks", type=int, default=8)
    parser.add_argument("--write", type=Path, help="markdown page to put the table into")
    args = parser.parse_args()
    images: list[LabelledImage] = []
    for source in SOURCES:
        items = load_source(args.data / f"{source}.npz", ["validation", "unseen"])
        chosen = np.linspace(0, len(items) - 1, min(args.images, len(items))).astype(int)
        images += [items[i] for i in chosen]
    figures = ("1 click", f"{args.clicks} clicks", "harm", "score off by")
    header = ("", *figures, "everything AP50", "seconds a plane")
    text = as_markdown([header, *(row(s, images, args.clicks, args.limit) for s in SWITCHES)])
    print(text)
    if args.write:
        put(text, args.write, "ablation")


if __name__ == "__main__":
    main()
