"""Which of a click's masks to show: rules tried in place of the highest predicted IoU.

On training images, since a rule is chosen by it: mean over sources of the IoU of the mask shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sources import load_source

from napari_sam import Prompts, SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import iou, middle_of, stability_score

SOURCES = (
    "dsb2018", "emps_particles", "usiigaci_phase", "axon_sem", "neuroblastoma_fluo",
    "spider_spine_mri", "hvsmr_heart_mri", "hippocampus_mri", "nasa_superalloy_sem",
    "sunnybrook_cmr", "pancreas_ct", "bbbc010_worms",
)  # fmt: skip
STABLE = 0.85
MIN_PIXELS = 12


class Four(NamedTuple):
    """What is known of the single mask and the three others of one click, (4,) and (4, 4)."""

    score: np.ndarray
    stability: np.ndarray
    overlap: np.ndarray
    true: np.ndarray


RULES: dict[str, Callable[[Four], int]] = {
    "predicted IoU, of three": lambda m: 1 + int(m.score[1:].argmax()),
    "predicted IoU, of all four": lambda m: int(m.score.argmax()),
    "predicted IoU times stability": lambda m: 1 + int((m.score * m.stability)[1:].argmax()),
    "most overlap with the others": lambda m: int((m.overlap @ (m.score / m.score.sum())).argmax()),
    "the single mask": lambda m: 0,
    "the single mask where it is stable": lambda m: (
        0 if m.stability[0] > STABLE else 1 + int(m.score[1:].argmax())
    ),
    "the best of three": lambda m: 1 + int(m.true[1:].argmax()),
}


def main() -> None:
    """Parse the command line, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model, "cpu"))
    found = {source: asked(predictor, args.data / f"{source}.npz") for source in SOURCES}
    rows = [("rule", "1 click")]
    for name, rule in RULES.items():
        means = [np.mean([four.true[rule(four)] for four in own]) for own in found.values()]
        rows.append((name, f"{np.mean(means):.3f}"))
    print(as_markdown(rows))
    print(f"{sum(map(len, found.values()))} objects")


def asked(predictor: SamPredictor, path: Path) -> list[Four]:
    """Click at most five objects of four training images of a source."""
    items = load_source(path, ["train"])
    answers = []
    for index in np.linspace(0, len(items) - 1, 4).astype(int):
        item = items[index]
        ids, counts = np.unique(item.labels, return_counts=True)
        ids = ids[(ids > 0) & (counts >= MIN_PIXELS)]
        chosen = ids[np.linspace(0, len(ids) - 1, min(5, len(ids))).astype(int)]
        truths = [item.labels == label for label in chosen]
        embedding = predictor.encode(item.image)
        clicks = [Prompts([middle_of(truth)], [1]) for truth in truths]
        several, single = (predictor.predict_many(embedding, clicks, m) for m in (True, False))
        for truth, others, one in zip(truths, several, single, strict=True):
            logits = np.concatenate([one.low_res_logits, others.low_res_logits])
            flat = (logits > 0).reshape(4, -1).astype(np.float32)
            shared, area = flat @ flat.T, flat.sum(1)
            answers.append(
                Four(
                    np.concatenate([one.iou_predictions, others.iou_predictions]),
                    np.array([stability_score(plane, 0, 1.0) for plane in logits]),
                    shared / np.maximum(area[:, None] + area - shared, 1),
                    np.array([iou(mask, truth) for mask in (*one.masks, *others.masks)]),
                )
            )
    return answers


if __name__ == "__main__":
    main()
