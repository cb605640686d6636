"""All forms of prompts that are read; a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..found import read_json
from .coco import read_coco_prompts
from .contract import PromptChoice, PromptFile
from .geojson import is_geojson, read_geojson
from .rois import read_roi_prompts
from .table import read_table
from .yolo import read_yolo_prompts

Reader = Callable[[Path, tuple[int, ...], PromptChoice], PromptFile]
PROMPT_FILES: dict[str, Reader] = {
    ".json": read_coco_prompts,
    ".geojson": read_geojson,
    ".txt": read_yolo_prompts,
    ".csv": read_table,
    ".tsv": read_table,
    ".roi": read_roi_prompts,
    ".zip": read_roi_prompts,
}
"""By the ending of the file; a folder holds texts of YOLO."""

FOREIGN = (".csv", ".tsv", ".geojson")
"""Endings of files that hold nothing but prompts."""
HEAD_BYTES = 4096
"""Of a JSON file that are looked at to know whose it is."""


def is_foreign(path: Path) -> bool:
    """Tell whether a file holds nothing but prompts: it is in no format of annotations."""
    suffix = path.suffix.lower()
    if suffix in FOREIGN:
        return True
    if suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).lstrip()
    results = head.startswith(b"[") and b'"image_id"' in head
    return results or b'"FeatureCollection"' in head or b'"Feature"' in head


def read_prompt_file(
    path: str | Path, shape: tuple[int, ...], choice: PromptChoice | None = None
) -> PromptFile:
    """Return what a file of another system says.

    Parameters
    ----------
    path : str or Path
    shape : tuple of int
        Of the image, without colours; its planes are those of the last two axes.
    choice : PromptChoice, optional

    Raises
    ------
    ValueError
        That names the file, and the line or the entry that is wrong.
    """
    path, choice = Path(path), choice or PromptChoice()
    if not 2 <= len(shape) <= 4:
        raise ValueError(f"prompts are read for images of two to four axes, not {len(shape)}")
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    read = read_yolo_prompts if path.is_dir() else PROMPT_FILES.get(path.suffix.lower())
    if read is None:
        known = ", ".join(PROMPT_FILES)
        raise ValueError(f"prompts are read from {known}, but the file is called {path.name}")
    if path.suffix.lower() == ".json" and is_geojson(read_json(path)):
        read = read_geojson
    return read(path, tuple(shape), choice).surer_than(choice.least_score)
