"""What synthetic images add where `pocket` is tuned on a few real images of an unseen source.

    python benchmarks/synthesize.py --data FOLDER --source busi_us --steps 150
    python benchmarks/synthesize.py --picture docs/images/synthetic.png

`pocket` is tuned on some real images, and on the same ones with synthetic images that were made of
them, for the same number of steps. Both are tested on other real images of the source.

The picture shows planes of the sample stack, whose labels are exact, and synthetic images of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from finetune import divided, figures
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_sam import AutomaticMaskGenerator, SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import average_precision
from napari_sam.images.samples import cells_stack_with_labels
from napari_sam.images.transforms import to_rgb8
from napari_sam.masks import to_labels
from napari_sam.steps import drive
from napari_sam.training.finetune.collect import collect
from napari_sam.training.finetune.labelled_files import Finder
from napari_sam.training.finetune.tuning import TuneParams, tuning
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.training.sets.sources import stack_readers
from napari_sam.training.synthesis.bank import gathered
from napari_sam.training.synthesis.params import SynthesisParams
from napari_sam.training.synthesis.synthesising import synthesising

SHAPE, PLANES, BESIDE = (24, 208, 208), (6, 16), 2
"""Of the stack that is drawn, its planes that are shown, and synthetic images beside each."""
GAP, COLOUR, SHADES = 6, (255, 210, 0), 64
EXAMPLE = SynthesisParams(
    objects=(8, 30), touching=0.3, noise=(0.0, 0.08), uneven=(0.0, 0.4), blur=(0.0, 1.5)
)


def main() -> None:
    """Parse the command line, make images, tune, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled sources")
    parser.add_argument("--picture", type=Path, help="draw an example, and nothing else")
    parser.add_argument("--source", default="busi_us", help="a source never trained on")
    parser.add_argument("--images", type=int, default=5, help="real ones to learn from")
    parser.add_argument("--synthetic", type=int, default=40)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--test", type=int, default=35, help="images to test on, at most")
    parser.add_argument("--limit", type=int, default=25, help="objects of each tested image")
    args = parser.parse_args()
    if args.picture is not None:
        example().save(args.picture, optimize=True)
        return
    if args.data is None:
        parser.error("give --data or --picture")
    learn, test = divided(args.data / f"{args.source}.npz", args.images)
    test = test[: args.test]
    rows = [("model", "seed", "tested images", "one click", "everything AP50")]
    rows.append(("pocket", "", str(len(test)), *scored("pocket", args.source, test, args.limit)))
    print(json.dumps(rows[-1]), flush=True)
    with TemporaryDirectory() as place:
        folder = Path(place)
        real = folder / "real"
        write_pairs([(one.image, one.labels) for one in learn], real)
        for seed in args.seeds:
            made = folder / f"synthetic_{seed}"
            bank = drive(gathered(Finder([real], stack_readers()).items(), seed))
            drive(synthesising(bank, made, args.synthetic, SynthesisParams(), seed))
            for title, paths in (("real", [real]), ("real and synthetic", [real, made])):
                examples = drive(collect(paths)).examples
                params = TuneParams(steps=args.steps, threads=args.threads, seed=seed)
                model = drive(tuning("pocket", examples, [], params, folder / f"{title} {seed}"))
                cells = scored(model, args.source, test, args.limit)
                name = f"{title}, {len(examples)} images"
                rows.append((name, str(seed), str(len(test)), *cells))
                print(json.dumps(rows[-1]), flush=True)
    print(as_markdown(rows))


def example() -> Image.Image:
    """Return a sheet: on the left labelled planes, beside them synthetic images, with outlines."""
    stack, stack_labels = cells_stack_with_labels(SHAPE)
    real = [(stack[z], stack_labels[z]) for z in PLANES]
    with TemporaryDirectory() as place:
        folder, made = Path(place) / "real", Path(place) / "made"
        write_pairs(real, folder)
        bank = drive(gathered(Finder([folder], stack_readers()).items(), 0))
        drive(synthesising(bank, made, BESIDE * len(real), EXAMPLE, 0))
        images = sorted(made.glob("synthetic_?????.tif"))
        pairs = ((path, path.with_name(f"{path.stem}_labels.tif")) for path in images)
        drawn = [outlined(tifffile.imread(one), tifffile.imread(other)) for one, other in pairs]
    rows = [[outlined(*one), *drawn[k * BESIDE :][:BESIDE]] for k, one in enumerate(real)]
    frame = ((0, GAP), (0, GAP), (0, 0))
    padded = [[np.pad(one, frame, constant_values=255) for one in row] for row in rows]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in padded])[:-GAP, :-GAP]
    return Image.fromarray(sheet).quantize(SHADES)


def outlined(image: NDArray[np.uint16], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return an image in grey with the outlines of its objects, (H, W, 3)."""
    rgb = to_rgb8(image)
    rgb[find_boundaries(labels, mode="inner")] = COLOUR
    return rgb


def write_pairs(pairs: list[tuple[NDArray[Any], NDArray[Any]]], folder: Path) -> None:
    """Write images with their labels as TIFF files."""
    folder.mkdir()
    for k, (image, labels) in enumerate(pairs):
        tifffile.imwrite(folder / f"{k}.tif", image)
        tifffile.imwrite(folder / f"{k}_labels.tif", labels.astype(np.uint16))


def scored(
    model: str | Path, source: str, test: list[LabelledImage], limit: int
) -> tuple[str, str]:
    """Return the mean IoU after one click, and AP50 of everything mode."""
    clicks = figures(model, {source: test}, limit)[source].mean()
    generator = AutomaticMaskGenerator(SamPredictor(load_model(model)))
    found = [
        average_precision(
            to_labels(generator.generate(item.image), item.image.shape[:2]), item.labels
        )[0]
        for item in test
    ]
    return f"{clicks:.3f}", f"{np.nanmean(found):.3f}"


if __name__ == "__main__":
    main()
