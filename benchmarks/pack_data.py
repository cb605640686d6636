"""Write a folder of `.npz` sources into one compact file for `train_pocket.py`.

Pixels lose a little (see `napari_sam.training.labelled_images`), labels nothing. A table says how
much.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from sources import load_sources

from napari_sam.evaluate.report import as_markdown
from napari_sam.training.labelled_images import (
    QUALITY,
    LabelledImage,
    read_packed,
    write_packed,
)

PARTS = ("train", "validation", "unseen", "apart")


def main() -> None:
    """Parse the command line, write the file, read it again, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz sources")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exclude", nargs="*", default=[], help="sources to leave out")
    parser.add_argument("--quality", type=int, default=QUALITY, help="of the pixels, 0 to 100")
    args = parser.parse_args()
    images = [
        item for items in load_sources(args.data, PARTS, args.exclude).values() for item in items
    ]
    start = time.perf_counter()
    write_packed(args.out, images, args.quality)
    written = time.perf_counter()
    packed = read_packed(args.out, PARTS)
    read = time.perf_counter()
    print(as_markdown(table(args.out, images, packed)))
    print(f"written in {written - start:.0f} s, read in {read - written:.1f} s")


def table(
    path: Path, images: list[LabelledImage], packed: list[LabelledImage]
) -> list[tuple[str, ...]]:
    """Return a header, a row for each source and one of all of them.

    Raises
    ------
    ValueError
        If a label has changed.
    """
    with ZipFile(path) as archive:
        entries = {info.filename: info.compress_size for info in archive.infolist()}
    rows: list[tuple[str, ...]] = [("source", "MB", "images", "objects", "mean dB", "least dB")]
    pairs: dict[str, list[tuple[LabelledImage, LabelledImage]]] = {}
    for before, after in zip(images, packed, strict=True):
        if not np.array_equal(before.labels, after.labels):
            raise ValueError(f"{path} has changed the labels of {before.source} {before.name}")
        pairs.setdefault(before.source, []).append((before, after))
    noise, objects = [], 0
    for source, own in pairs.items():
        size = sum(entries[name] for name in entries if name.startswith(f"{source}/"))
        count = sum(len(np.unique(item.labels[item.labels > 0])) for item, _ in own)
        ratios = [signal_to_noise(a, b) for a, b in own]
        figures = (f"{size / 1e6:.2f}", str(len(own)), str(count))
        rows.append((source, *figures, f"{np.mean(ratios):.1f}", f"{min(ratios):.1f}"))
        noise += ratios
        objects += count
    figures = (f"{path.stat().st_size / 1e6:.2f}", str(len(images)), str(objects))
    return [*rows, ("all", *figures, f"{np.mean(noise):.1f}", f"{min(noise):.1f}")]


def signal_to_noise(before: LabelledImage, after: LabelledImage) -> float:
    """Return the peak signal-to-noise ratio of the pixels in dB, 60 at most."""
    error = np.mean((before.image.astype(np.float32) - after.image) ** 2)
    return float(10 * np.log10(255**2 / max(error, 255**2 / 1e6)))


if __name__ == "__main__":
    main()
