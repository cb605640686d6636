"""Models of images and words: which are known by name, and how one is loaded; torch only then."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..types import Progress
from .installed import require_torch
from .specs import ModelSpec

if TYPE_CHECKING:
    from .clip import TextImageModel

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
NOT_INSTALLED = (
    "text needs transformers, which is not installed: pip install 'napari-sam-stack[text]'"
)


@dataclass(frozen=True)
class TextSpec:
    """A published model of images and words.

    Attributes
    ----------
    name : str
    address : str
        Of its files, in the form of one commit.
    files : mapping of str to (str, int)
        SHA-256 of each file, and about how many bytes it has.
    licence : str
    """

    name: str
    address: str
    files: Mapping[str, tuple[str, int]]
    licence: str

    @property
    def size_text(self) -> str:
        """The size of all files as people read it."""
        return f"{sum(size for _, size in self.files.values()) / 1e6:,.0f} MB"


TEXT_SPECS = (
    TextSpec(
        "siglip_base",
        "https://huggingface.co/google/siglip-base-patch16-224/resolve/"
        "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
        {
            CONFIG: ("cd85b3d28829722820bcb89a2cfbb4160e55fd359249a3044da724166a8d9688", 432),
            "preprocessor_config.json": (
                "d11ccb80f15d358a11bdb070e92e2d889005874b7db15823d5f10d9b2533b14a", 368,
            ),
            "special_tokens_map.json": (
                "2b6a1ff67a27e0df9ac0c7d93250fc0d87431c7b366b3d5669217104f9088a26", 409,
            ),
            "spiece.model": (
                "1e5036bed065526c3c212dfbe288752391797c4bb1a284aa18c9a0b23fcaf8ec", 798_330,
            ),
            "tokenizer.json": (
                "c6e405cb7c670d56636a9402c81023a55bc6c3c53d89cf02b92f5c5005bfe920", 2_399_357,
            ),
            "tokenizer_config.json": (
                "d6423dae508cc3a129d22ea443841c111832a1a73125b8f25ea8736951698bcb", 711,
            ),
            WEIGHTS: (
                "2c63cb7d1f2e95ba501893cbb8faeb4ea9a3af295498d35097126228659c2af8", 812_672_320,
            ),
        },
        "Apache-2.0",
    ),
    TextSpec(
        "clip_large",
        "https://huggingface.co/openai/clip-vit-large-patch14/resolve/"
        "32bd64288804d66eefd0ccbe215aa642df71cc41",
        {
            CONFIG: ("8a09b467700c58138c29d53c605b34ebc69beaadd13274a8a2af8ad2c2f4032a", 4_519),
            "merges.txt": (
                "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a", 524_619,
            ),
            "preprocessor_config.json": (
                "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd", 400,
            ),
            "special_tokens_map.json": (
                "f8c0d6c39aee3f8431078ef6646567b0aba7f2246e9c54b8b99d55c22b707cbf", 389,
            ),
            "tokenizer.json": (
                "a83e0809aa4c3af7208b2df632a7a69668c6d48775b3c3fe4e1b1199d1f8b8f4", 2_200_000,
            ),
            "tokenizer_config.json": (
                "deef455e52fa5e8151e339add0582e4235f066009601360999d3a9cda83b1129", 905,
            ),
            "vocab.json": (
                "3f0c4f7d2086b61b38487075278ea9ed04edb53a03cbb045b86c27190fa8fb69", 961_143,
            ),
            WEIGHTS: (
                "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb", 1_710_540_580,
            ),
        },
        "MIT (that of OpenAI's CLIP)",
    ),
)  # fmt: skip


class _Part(ModelSpec):
    """One file of a model, which keeps its own name."""

    @property
    def file_name(self) -> str:
        """What the file is called on this machine."""
        return PurePosixPath(self.url).name


def has_transformers() -> bool:
    """Tell whether what runs these models is installed."""
    return find_spec("transformers") is not None


def check_text_model(name: str | Path) -> None:
    """Refuse what is neither a known name nor a folder of a model, before anything is loaded.

    Raises
    ------
    ValueError
        Telling what is missing, or what to install.
    """
    require_torch("text")
    if not has_transformers():
        raise ValueError(NOT_INSTALLED)
    if _spec_of(name) is not None:
        return
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join(one.name for one in TEXT_SPECS)
        raise ValueError(
            f"there is no folder {folder}; name the folder of a CLIP or SigLIP model, or one of "
            f"{known}, which is then downloaded"
        )
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise ValueError(
                f"{folder} has no {file}; a model is a folder with {CONFIG}, {WEIGHTS}, the files "
                "of its tokenizer and preprocessor_config.json"
            )


def text_models_here() -> list[Path]:
    """Return the folders of models of images and words among the downloaded models."""
    from .fetch import models_folder  # requests and pooch take their time

    try:
        found = sorted(one.parent for one in models_folder().glob(f"*/{CONFIG}"))
    except (ValueError, OSError):  # the folder cannot be; a download says so
        return []
    return [one for one in found if (one / WEIGHTS).is_file()]


def loading_text_model(
    name: str | Path, device: str = "auto", offline: bool | None = None
) -> Generator[Progress, None, TextImageModel]:
    """Load a model, yielding progress; one of `TEXT_SPECS` is downloaded if necessary.

    Parameters
    ----------
    name : str or Path
        A folder, or the name of one of `TEXT_SPECS`.
    device : str
        "auto" takes the fastest there is.
    offline : bool, optional
        Never download; by default `NAPARI_SAM_OFFLINE` decides.

    Yields
    ------
    Progress

    Returns
    -------
    TextImageModel

    Raises
    ------
    ValueError
        If the folder is incomplete or holds something else, or the download fails.
    """
    check_text_model(name)
    spec = _spec_of(name)
    folder = Path(name) if spec is None else (yield from _fetching(spec, offline))
    yield Progress(0, 0, f"loading {folder.name}")
    model: TextImageModel = import_module(f"{__package__}.clip").load(folder, device)
    return model


def _fetching(spec: TextSpec, offline: bool | None) -> Generator[Progress, None, Path]:
    """Download all files of a model, the weights last."""
    from .fetch import fetch, models_folder

    folder, done = models_folder() / spec.name, 0
    total = sum(size for _, size in spec.files.values())
    for file, (digest, size) in spec.files.items():
        part = _Part(
            f"{spec.name} {file}", "", f"{spec.address}/{file}", f"sha256:{digest}", size,
            spec.licence, 0, "", exact_size=False,
        )  # fmt: skip
        steps = fetch(part, folder, offline)
        while True:
            try:
                step = next(steps)
            except StopIteration:
                break
            yield replace(step, done=done + step.done, total=total)
        done += size
    return folder


def _spec_of(name: str | Path) -> TextSpec | None:
    return next((one for one in TEXT_SPECS if one.name == str(name)), None)
