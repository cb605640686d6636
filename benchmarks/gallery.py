"""Pictures of what a model answers: of each source the best, the median and the worst object.

Left of each pair the answer to one click, right to the box; truth in green, answer in magenta,
prompt in yellow. The pictures show other people's images: look at them, do not publish them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries
from skimage.transform import resize
from sources import load_source

from napari_sam import Prompts, SamPredictor, load_model
from napari_sam.images.transforms import to_rgb8
from napari_sam.masks import box_of, iou, middle_of

SIDE = 200
GREEN, MAGENTA, YELLOW = (0, 220, 0), (255, 0, 255), (255, 230, 0)


def main() -> None:
    """Draw one row of six tiles for each source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    rows = []
    for path in sorted(args.data.glob("*.npz")):
        items = load_source(path, ["validation", "unseen"])
        chosen = np.linspace(0, len(items) - 1, min(args.images, len(items))).astype(int)
        found = []
        for item in [items[k] for k in chosen]:
            embedding = predictor.encode(item.image)
            ids, counts = np.unique(item.labels[item.labels > 0], return_counts=True)
            ids = ids[counts >= 12]
            for label in ids[np.linspace(0, len(ids) - 1, min(6, len(ids))).astype(int)]:
                truth = item.labels == label
                prompts = [Prompts([middle_of(truth)]), Prompts(box=box_of(truth))]
                answers = predictor.predict_many(embedding, prompts)
                masks = [np.asarray(answer.masks[answer.best]) for answer in answers]
                found.append((iou(masks[0], truth), item, truth, prompts, masks))
        if not found:
            continue
        found.sort(key=lambda row: -row[0])
        tiles = []
        for place in (0, len(found) // 2, len(found) - 1):
            _, item, truth, prompts, masks = found[place]
            tiles += [tile(item.image, truth, *pair) for pair in zip(prompts, masks, strict=True)]
        rows.append(np.hstack(tiles))
        print(path.stem, [round(found[k][0], 2) for k in (0, len(found) // 2, -1)])
    Image.fromarray(np.vstack(rows)).save(args.out)


def tile(image: np.ndarray, truth: np.ndarray, prompt: Prompts, mask: np.ndarray) -> np.ndarray:
    """Return a picture (SIDE, SIDE, 3) of the surroundings of an object."""
    x0, y0, x1, y1 = box_of(truth)
    reach = max(x1 - x0, y1 - y0) * 1.1 + 12
    cy, cx = (y0 + y1) / 2, (x0 + x1) / 2
    part = np.s_[
        max(0, int(cy - reach)) : int(cy + reach), max(0, int(cx - reach)) : int(cx + reach)
    ]
    seen = to_rgb8(image)[part]
    scale = SIDE / max(seen.shape[:2])
    size = [max(1, round(side * scale)) for side in seen.shape[:2]]
    picture = (resize(seen, (*size, 3), order=1) * 255).astype(np.uint8)
    for own, colour in ((truth, GREEN), (mask, MAGENTA)):
        edge = find_boundaries(resize(own[part].astype(float), size, order=0) > 0.5, mode="inner")
        picture[edge] = colour
    shift = np.array([part[1].start, part[0].start])
    for point in prompt.point_coords:
        column, row = ((point - shift + 0.5) * scale).astype(int)
        picture[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = YELLOW
    if prompt.box is not None:
        left, top, right, bottom = ((prompt.box - np.tile(shift, 2) + (0, 0, 1, 1)) * scale).astype(
            int
        )
        picture[top:bottom, [left, min(right, size[1] - 1)]] = YELLOW
        picture[[top, min(bottom, size[0] - 1)], left:right] = YELLOW
    whole = np.zeros((SIDE, SIDE, 3), np.uint8)
    whole[: size[0], : size[1]] = picture
    return whole


if __name__ == "__main__":
    main()
