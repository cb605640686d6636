"""Fine-tuning of a SAM on a source that it never saw: IoU before and after, memory, encoder runs.

    python benchmarks/finetune_sam.py --data FOLDER --encoder vit_b --images 20 --steps 60

The model is the trained reference decoder behind its drawn encoder (`reference_decoder.py`), which
saw none of the sources to choose from. The images are divided as in `finetune.py`, but all sections
of isbi2012_em behind the gap are tested. Intervals are those of a paired bootstrap over images and
their objects.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import reference_decoder
import torch
from finetune import FIRST_TEST, divided, example
from numpy.typing import NDArray
from safetensors.torch import save_file
from sources import UNSEEN, load_source
from torch import Tensor

from napari_sam import SamPredictor, load_model
from napari_sam.evaluate.paired import Bootstrap
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import ObjectScore, plane_answer, score_image
from napari_sam.models.cards import read_card
from napari_sam.models.sam import SamModel
from napari_sam.predict.cache import DiskCache
from napari_sam.training.finetune import sam_tuning
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.held_out import in_colour, spread
from napari_sam.training.finetune.training_folder import EMBEDDINGS
from napari_sam.training.finetune.tuning import TuneParams, TuneStep, tuning

FIGURES = {
    "1 click": lambda s: s.clicks[0],
    "best of 3": lambda s: s.oracle,
    "3 clicks": lambda s: s.clicks[-1],
    "box": lambda s: s.box,
}


def main() -> None:
    """Parse the command line, tune, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="isbi2012_em", choices=UNSEEN)
    parser.add_argument("--encoder", default="vit_b", choices=sorted(reference_decoder.ENCODERS))
    parser.add_argument("--part", default="heads", choices=sam_tuning.PARTS)
    parser.add_argument("--blocks", type=int, help="LoRA in so many of the first blocks only")
    parser.add_argument("--rate", type=float, help="learning rate; that of the part by default")
    parser.add_argument("--images", type=int, default=20, help="to learn from")
    parser.add_argument("--test", type=int, default=8, help="images of the test")
    parser.add_argument("--limit", type=int, default=25, help="objects of each test image")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--embeddings", type=Path, help="folder that they are kept in between runs")
    args = parser.parse_args()
    path = args.data / f"{args.source}.npz"
    learn, test = divided(path, args.images)
    if args.source == "isbi2012_em":
        test = load_source(path, ["unseen"])[FIRST_TEST:]
    learn, test = ([example(item) for item in part] for part in (learn, spread(test, args.test)))
    with TemporaryDirectory() as name:
        run(args, learn, test, Path(name))


def run(args: argparse.Namespace, learn: list[Example], test: list[Example], folder: Path) -> None:
    """Tune in a folder, and print what it took and what came of it."""
    base, tuned = folder / "reference.safetensors", folder / "run" / "best.safetensors"
    save_file(reference_decoder.load(args.encoder).sam.state_dict(), base)
    kept = args.embeddings or folder / "kept"
    (kept / "learn").mkdir(parents=True, exist_ok=True)
    tuned.parent.mkdir()
    (tuned.parent / EMBEDDINGS).symlink_to((kept / "learn").resolve(), target_is_directory=True)
    tune(args, base, learn, tuned.parent)
    print(f"{peak():.0f} MB at most, {tuned.stat().st_size / 1e6:.1f} MB of file")
    print(read_card(tuned).as_text(), flush=True)
    cache = DiskCache(kept / "test", sam_tuning.QUOTA)
    before, after = ([*scored(path, test, args.limit, cache)] for path in (base, tuned))
    images = {name: place for place, name in enumerate(dict.fromkeys(s.name for s in before))}
    groups = [images[score.name] for score in before]
    draws = Bootstrap(groups, range(len(groups)), np.random.default_rng(0))
    rows = []
    for name, read in FIGURES.items():
        found = draws.difference(name, *(read_all(part, read) for part in (before, after)))
        values = (f"{found.before:.3f}", f"{found.after:.3f}", f"{found.difference:+.3f}")
        rows.append((name, *values, f"{found.low:+.3f} to {found.high:+.3f}"))
    print(f"{len(groups)} objects of {len(images)} images")
    print(as_markdown([("", "before", "after", "difference", "95 % interval"), *rows]))


def tune(args: argparse.Namespace, base: Path, learn: list[Example], folder: Path) -> None:
    """Tune the model, and print the encoder's runs and the memory."""
    params = TuneParams(
        steps=args.steps, part=args.part, learning_rate=args.rate, threads=torch.get_num_threads()
    )
    if args.blocks is not None:
        adapted = sam_tuning.lora.adapted
        sam_tuning.lora.adapted = lambda encoder, **given: adapted(
            encoder, **given | {"blocks": args.blocks}
        )
    runs, encode = 0, SamModel.encode

    def counted(model: SamModel, rgb: NDArray[np.uint8]) -> Tensor:
        nonlocal runs
        runs += 1
        return encode(model, rgb)

    SamModel.encode = counted
    start = time.process_time()
    for step in tuning(base, learn, (), params, folder):
        if isinstance(step, TuneStep):
            spent = time.process_time() - start
            if step.index == len(learn):
                print(f"first epoch of {len(learn)} images: {runs} encoder runs, {spent:.0f} s of "
                      f"processor time, {peak():.0f} MB at most", flush=True)  # fmt: skip
            if step.index % 10 == 0:
                print(f"{step.index} {spent:.0f} s loss {step.loss:.3f} IoU {step.iou:.3f}",
                      flush=True)  # fmt: skip
    SamModel.encode = encode
    print(f"{runs} encoder runs of the whole training")


def scored(path: Path, test: list[Example], limit: int, cache: DiskCache) -> Iterator[ObjectScore]:
    """Yield the scores of a model; images that the same encoder has seen are not encoded again."""
    model = sam_tuning.KnownImages(load_model(path, "cpu").sam, "cpu", cache)
    predictor = SamPredictor(model)
    for one in test:
        answer = plane_answer(predictor, in_colour(one.image))
        yield from score_image(answer, one.labels, "", one.name, 3, limit)


def read_all(
    scores: Sequence[ObjectScore], read: Callable[[ObjectScore], float]
) -> NDArray[np.float64]:
    """Return a figure of each object."""
    return np.array([read(score) for score in scores])


def peak() -> float:
    """Return the largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
