"""What the result of an image depends on: its bytes, the model, the parameters and its prompts."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from .inputs import Input
from .kept_results import digest_of
from .manifest import place_digest

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

ASIDE = (
    "image", "output", "overwrite", "run", "command", "model", "device", "precision", "offline",
    "loaded", "keep_partial", "to", "name", "cluster",
)  # fmt: skip
"""Arguments that are no parameters: they say where and how, or the record has them apart."""


def own_prompts(prompts: Path | None, one: Input) -> Path | None:
    """Return the file of prompts of an image, or its folder of texts: of a folder, by its name."""
    if prompts is None or not prompts.is_dir():
        return prompts
    from ..formats.prompt_files.known import PROMPT_FILES
    from ..training.finetune.reading import stem_of

    # the whole name counts before that without an ending, and sub-folders before none
    stem = stem_of(one.path)
    within = Path(one.name).with_name(stem).as_posix()
    for name in dict.fromkeys((one.name, one.result, within, one.path.name, stem)):
        for suffix in PROMPT_FILES:
            with suppress(OSError):
                place = prompts / f"{name}{suffix}"
                if place.is_file():
                    return place
        with suppress(OSError):
            if any((prompts / name).glob("*.txt")):  # of YOLO, one for each plane
                return prompts / name
    raise ValueError(f"there are no prompts for {one.name} in {prompts.name}")


def made_from(args: Namespace, path: Path) -> dict[str, Any]:
    """Return all that a result depends on, as JSON gives it back."""
    model: PromptableModel = args.loaded
    chosen = {
        name: _plain(value)
        for name, value in sorted(vars(args).items())
        if name not in ASIDE and not _is_unset(value)
    }
    made = {
        "sha256": digest_of(path),
        "place": place_digest(path),
        "command": args.command,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "precision": model.precision,
        "version": __version__,
        "parameters": chosen,
    }
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain


def _is_unset(value: Any) -> bool:
    return value is None or value is False or value == [] or value == ""  # 0 is a value


def _plain(value: Any) -> Any:
    """Return a value for the record; of a file, its name and its content."""
    if isinstance(value, Path):
        if not value.exists():
            raise ValueError(f"there is no file {value}")
        state = value.stat()
        return {"name": value.name, "sha256": _digest(value, state.st_size, state.st_mtime_ns)}
    return value


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    """Return the digest of a file, which is read again only where it was changed."""
    return digest_of(path)
