"""Fine-tuning of a SAM on a source that it never saw: IoU before and after, memory, encoder runs.

    python benchmarks/finetune_sam.py --data FOLDER --encoder vit_b --images 20 --steps 60

The model is the trained reference decoder behind its drawn encoder (`reference_decoder.py`). The
images are divided as in `finetune.py`.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import reference_decoder
import torch
from finetune import divided, example
from safetensors.torch import save_file

from napari_sam import SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import ObjectScore, plane_answer, score_image
from napari_sam.models.cards import read_card
from napari_sam.training.finetune import sam_tuning
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.held_out import in_colour
from napari_sam.training.finetune.tuning import TuneParams, TuneStep, tuning


def main() -> None:
    """Parse the command line, tune, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="isbi2012_em")
    parser.add_argument("--encoder", default="vit_b", choices=sorted(reference_decoder.ENCODERS))
    parser.add_argument("--part", default="heads", choices=sam_tuning.PARTS)
    parser.add_argument("--blocks", type=int, help="LoRA in so many of the first blocks only")
    parser.add_argument("--rate", type=float, help="learning rate; that of the part by default")
    parser.add_argument("--images", type=int, default=20, help="to learn from")
    parser.add_argument("--test", type=int, default=6, help="images of the test")
    parser.add_argument("--limit", type=int, default=12, help="objects of each test image")
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    learn, test = divided(args.data / f"{args.source}.npz", args.images)
    learn, test = ([example(item) for item in part] for part in (learn, test))
    with TemporaryDirectory() as name:
        run(args, learn, test[: args.test], Path(name))


def run(args: argparse.Namespace, learn: list[Example], test: list[Example], folder: Path) -> None:
    base = folder / "reference.safetensors"
    save_file(reference_decoder.load(args.encoder).sam.state_dict(), base)
    params = TuneParams(
        steps=args.steps, part=args.part, learning_rate=args.rate, threads=torch.get_num_threads()
    )
    if args.blocks is not None:
        adapted = sam_tuning.lora.adapted
        sam_tuning.lora.adapted = lambda encoder, **given: adapted(
            encoder, **given | {"blocks": args.blocks}
        )
    start, encoded = time.process_time(), 0
    for step in (steps := tuning(base, learn, (), params, folder / "run")):
        if isinstance(step, TuneStep):
            spent = time.process_time() - start
            if step.index == len(learn):
                encoded = len(list((folder / "run" / "embeddings").glob("*")))
                print(f"first epoch: {encoded} embeddings, {spent:.0f} s of processor time, "
                      f"{peak():.0f} MB at most", flush=True)  # fmt: skip
            if step.index % 10 == 0:
                print(f"{step.index} {spent:.0f} s loss {step.loss:.3f} IoU {step.iou:.3f}",
                      flush=True)  # fmt: skip
    steps.close()
    tuned = folder / "run" / "best.safetensors"
    print(f"{peak():.0f} MB at most, {tuned.stat().st_size / 1e6:.1f} MB of file")
    print(read_card(tuned).as_text(), flush=True)
    rows = []
    for title, path in (("before", base), ("after", tuned)):
        model = load_model(path, "cpu")
        scores = list(scored(SamPredictor(model), test, args.limit))
        del model
        rows.append((title, str(len(scores)), *figures(scores)))
        print(rows[-1], flush=True)
    print(as_markdown([("", "objects", "1 click", "best of 3", "3 clicks", "box"), *rows]))


def scored(predictor: SamPredictor, test: list[Example], limit: int) -> Iterator[ObjectScore]:
    for one in test:
        answer = plane_answer(predictor, in_colour(one.image))
        yield from score_image(answer, one.labels, "", one.name, 3, limit)


def figures(scores: list[ObjectScore]) -> list[str]:
    table = [(s.clicks[0], s.oracle, s.clicks[-1], s.box) for s in scores]
    return [f"{value:.3f}" for value in np.mean(table, axis=0)]


def peak() -> float:
    """Return the largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
