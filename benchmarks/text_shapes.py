"""How well words find objects: a small CLIP trained on drawn shapes, through the command line.

    python benchmarks/text_shapes.py --out FOLDER

No published weights are used. A CLIP of 400,000 parameters is trained for a minute or two on
crops of drawn circles and squares, bright or dark, large or small, and on captions of these words,
and kept in FOLDER as such models are published. Then `napari-sam everything --text` ranks the
objects that `pocket` finds in drawings that were not trained on. "precision" is the share of the
first ten objects that all the words are true of; of all objects, "chance" is that share. It says
that the way from words to objects works, not how well published models know microscopy.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn.functional import cross_entropy, normalize

from napari_sam.cli import main as napari_sam
from napari_sam.evaluate.report import as_markdown
from napari_sam.everything.accepting import masks_in
from napari_sam.everything.worded import crops_of
from napari_sam.images.transforms import to_rgb8
from napari_sam.models.clip import TEMPLATES

SHAPES, TONES, SIZES = ("circle", "square"), ("bright", "dark"), ("large", "small")
KINDS = tuple(product(SIZES, TONES, SHAPES))
WORDS = (*SIZES, *TONES, *SHAPES)
RADII = {"large": (25, 36), "small": (9, 13)}
CELL, CELLS = 98, 10
"""A drawing is a grid of so many cells of so many pixels; most of them hold a shape."""
SIDE, PATCH = 48, 8
DRAWINGS, BATCH, STEPS = 20, 64, 400
QUERIES = (
    *WORDS, "dark circle", "bright square", "large circle", "small bright circle",
    "large dark square",
)  # fmt: skip
FIRST = 10


class Drawing(NamedTuple):
    """Shapes on a grey ground: pixels (H, W) float32, labels (H, W), words by label."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int32]
    words: dict[int, tuple[str, str, str]]


def main() -> None:
    """Parse the command line, train, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and drawings")
    parser.add_argument("--drawings", type=int, default=3, help="that are measured")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    train(args.out / "pair", args.steps)
    print(f"trained in {time.process_time() - begun:.0f} s of one processor")
    rows = [("words", "precision of the first 10", "chance")]
    found: dict[str, list[tuple[float, float]]] = {words: [] for words in QUERIES}
    for seed in range(args.drawings):
        drawing = draw(np.random.default_rng(1000 + seed))
        path = args.out / f"drawing_{seed}.tif"
        tifffile.imwrite(path, (drawing.pixels * 60000).astype(np.uint16))
        for words in QUERIES:
            found[words].append(measured(drawing, path, words, args.out))
    for words, each in found.items():
        precision, chance = np.mean(each, axis=0)
        rows.append((words, f"{precision:.2f}", f"{chance:.2f}"))
    precision, chance = np.mean([one for each in found.values() for one in each], axis=0)
    rows.append(("mean", f"{precision:.3f}", f"{chance:.3f}"))
    print(as_markdown(rows))


def measured(drawing: Drawing, path: Path, words: str, out: Path) -> tuple[float, float]:
    """Return the precision of the first objects for some words, and that of all objects."""
    result = out / "labels.tif"
    said = io.StringIO()
    with redirect_stdout(said):
        status = napari_sam([
            "everything", str(path), "-o", str(result), "--overwrite", "--text", words,
            "--text-model", str(out / "pair"), "--text-share", "1",
        ])  # fmt: skip
    if status:
        raise SystemExit(f"napari-sam everything failed for {words}")
    scores = json.loads(said.getvalue())["text_scores"]
    labels = tifffile.imread(result)
    right = [is_right(drawing, labels == int(label), words) for label in scores]
    return float(np.mean(right[:FIRST])), float(np.mean(right))


def is_right(drawing: Drawing, mask: NDArray[np.bool_], words: str) -> bool:
    """Tell whether a mask is of a drawn shape (IoU over 0.5) that all words are true of."""
    counts = np.bincount(drawing.labels[mask])
    label = int(counts[1:].argmax()) + 1 if len(counts) > 1 else 0
    if not label:
        return False
    shape = drawing.labels == label
    alike = (mask & shape).sum() > 0.5 * (mask | shape).sum()
    return bool(alike) and set(words.split()) <= set(drawing.words[label])


def draw(rng: np.random.Generator) -> Drawing:
    """Draw shapes of all kinds, equally many of each, in cells of a grid."""
    side = CELL * CELLS
    labels, pixels = np.zeros((side, side), np.int32), np.full((side, side), 0.5)
    cells = rng.permutation(CELLS**2)[: CELLS**2 // len(KINDS) * len(KINDS)]
    words = {}
    for label, cell in enumerate(cells, 1):
        size, tone, shape = KINDS[label % len(KINDS)]
        radius = rng.uniform(*RADII[size])
        reach = radius + 2
        corner = np.array(divmod(cell, CELLS)) * CELL
        row, column = corner + rng.uniform(reach, CELL - reach, 2)
        y, x = np.mgrid[:CELL, :CELL] + corner[:, None, None]
        dy, dx = np.abs(y - row), np.abs(x - column)
        if shape == "circle":
            inside = np.hypot(dy, dx) < radius
        else:  # of about the area of the circle
            inside = np.maximum(dy, dx) < 0.88 * radius
        value = 0.5 + rng.uniform(0.22, 0.4) * (1 if tone == "bright" else -1)
        pixels[y[inside], x[inside]] = value
        labels[y[inside], x[inside]] = label
        words[label] = (size, tone, shape)
    pixels = ndimage.gaussian_filter(pixels, 0.7) + rng.normal(0, 0.03, pixels.shape)
    return Drawing(pixels.clip(0, 1).astype(np.float32), labels, words)


def train(folder: Path, steps: int = STEPS) -> None:
    """Train a small CLIP on drawings, and write it as such models are published."""
    from transformers import CLIPConfig, CLIPModel

    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    model = CLIPModel(
        CLIPConfig(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128,
                "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 16,
                "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
            vision_config={
                "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 4,
                "num_attention_heads": 4, "image_size": SIDE, "patch_size": PATCH,
            },
            projection_dim=64,
        )
    )  # fmt: skip
    crops, kinds = examples(rng)
    captions = all_captions()
    truth = torch.tensor([[set(words) <= set(kind) for words in captions] for kind in KINDS])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(len(kinds), size=BATCH))
        own = rng.permutation(len(captions))[:16]
        template = TEMPLATES[rng.integers(len(TEMPLATES))]
        text = tokenizer(
            [template.format(" ".join(rng.permutation(captions[k]))) for k in own],
            padding=True, return_tensors="pt",
        )  # fmt: skip
        images = model.visual_projection(model.vision_model(crops[chosen].flatten(0, 1))[1])
        images = normalize(normalize(images, dim=-1).unflatten(0, (BATCH, 2)).mean(1), dim=-1)
        words = model.text_projection(
            model.text_model(text["input_ids"], attention_mask=text["attention_mask"])[1]
        )
        logits = model.logit_scale.exp() * images @ normalize(words, dim=-1).T
        fits = truth[kinds[chosen]][:, own].float()
        loss = one_way(logits, fits) + one_way(logits.T, fits.T)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {
        "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": SIDE},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def one_way(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss of rows that fit several columns or none."""
    some = fits.sum(1) > 0
    return cross_entropy(logits[some], fits[some] / fits[some].sum(1, keepdim=True))


def examples(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return crops (N, 2, 3, SIDE, SIDE), as the command makes them, and numbers in `KINDS`."""
    crops, kinds = [], []
    for _ in range(DRAWINGS):
        drawing = draw(rng)
        rgb = to_rgb8(drawing.pixels)
        for label, mask in masks_in(drawing.labels).items():
            pair = [
                np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
                for one in crops_of(rgb, mask, (128, 128, 128))
            ]
            crops.append(np.stack(pair))
            kinds.append(KINDS.index(drawing.words[label]))
    pixels = torch.from_numpy(np.stack(crops)).float().permute(0, 1, 4, 2, 3)
    return (pixels / 255 - 0.5) / 0.25, torch.tensor(kinds)


def all_captions() -> list[tuple[str, ...]]:
    """Return all captions: one, two or three words that do not contradict each other."""
    parts = ((*SIZES, ""), (*TONES, ""), (*SHAPES, ""))
    return [some for each in product(*parts) if (some := tuple(filter(None, each)))]


def word_tokenizer() -> Any:
    """Return a tokenizer of whole words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<bos>", "<eos>"]
    of_templates = " ".join(TEMPLATES).replace("{}", "").split()
    words = [*special, *dict.fromkeys((*of_templates, *WORDS))]
    numbers = {word: k for k, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 3)]
    )
    names = ("pad", "unk", "bos", "eos")
    tokens = {f"{name}_token": f"<{name}>" for name in names}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)


if __name__ == "__main__":
    main()
