"""CLIP and SigLIP from a local folder: images and words as vectors that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch.nn.functional import normalize

from ..stopping import check
from .text_models import CONFIG, WEIGHTS, check_text_model
from .threads import ThreadLimit, limited
from .weights import check_memory, choose_device

KINDS = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""Classes of transformers by the type that a `config.json` states. SigLIP 2 of a fixed image size
is of the type "siglip", too."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
"""Files of which a tokenizer has at least one; transformers makes an empty one without."""
TEMPLATES = ("a photo of a {}", "a microscopy image of a {}")
"""What words are put into; their vectors are averaged, as Radford et al. (CLIP, ICML 2021) do."""
UNUSABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)
"""What transformers and torch raise where the files of a model are damaged or do not suit."""
BATCH = 32
"""Images that go through the model together."""
LEAST_SCALE = 1e-4
"""Least scale of 8-bit values; published ones are 1/255 and 1/127.5."""
WORKING = 500_000_000
"""Bytes that a batch takes beside the weights, about."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input.

    Attributes
    ----------
    size : int
        Of the square input, in pixels.
    resample : int
        The filter, as Pillow numbers it.
    scale : float
        Of 8-bit values.
    mean, std : (3,) float32
        Subtracted from and divided by, in this order, after scaling.
    """

    size: int
    resample: int
    scale: float
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return a square image (S, S, 3) uint8 as (3, size, size) float32."""
        side = (self.size, self.size)
        resized = Image.fromarray(image).resize(side, Image.Resampling(self.resample))
        values = np.asarray(resized, np.float32) * np.float32(self.scale)
        return np.ascontiguousarray(((values - self.mean) / self.std).transpose(2, 0, 1))


class TextImageModel:
    """A CLIP or SigLIP; made by `load`.

    Parameters
    ----------
    model, tokenizer : objects of transformers
    preprocessing : Preprocessing
    name : str
    device : str

    Attributes
    ----------
    ground : (int, int, int)
        The colour that the model takes for neither bright nor dark: its mean, 0 to 255.
    """

    def __init__(
        self, model: Any, tokenizer: Any, preprocessing: Preprocessing, name: str, device: str
    ) -> None:
        self._model, self._tokenizer, self._prepared = model, tokenizer, preprocessing
        self.name, self.device = name, device
        self.threads = ThreadLimit()
        red, green, blue = (preprocessing.mean / preprocessing.scale).round().clip(0, 255)
        self.ground = int(red), int(green), int(blue)

    @limited
    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return unit vectors of images.

        Parameters
        ----------
        images : N times (H, W, 3) uint8
            Each is resized to a square.

        Returns
        -------
        (N, D) float32
        """
        found = []
        for start in range(0, len(images), BATCH):
            check()
            some = np.stack([self._prepared(one) for one in images[start : start + BATCH]])
            with torch.inference_mode():
                pixels = torch.from_numpy(some).to(self.device)
                pooled = self._model.vision_model(pixel_values=pixels).pooler_output
                found.append(self._directions("visual_projection", pooled))
        return np.concatenate(found) if found else np.zeros((0, 0), np.float32)

    @limited
    def embed_text(self, words: str) -> NDArray[np.float32]:
        """Return the unit vector (D,) float32 of words, averaged over `TEMPLATES`.

        Raises
        ------
        ValueError
            If there are no words.
        """
        words = " ".join(words.lower().split())
        if not words:
            raise ValueError("there are no words to look for; give some, for example: round cell")
        tokens = self._tokens([one.format(words) for one in TEMPLATES])
        with torch.inference_mode():
            pooled = self._model.text_model(**tokens).pooler_output
            found = self._directions("text_projection", pooled).mean(axis=0)
        return np.asarray(found / np.linalg.norm(found), np.float32)

    def _tokens(self, sentences: list[str]) -> dict[str, torch.Tensor]:
        """Return what the text model takes of sentences; SigLIP was trained on a full length."""
        length = self._model.config.text_config.max_position_embeddings
        full = self._model.config.model_type == "siglip"
        tokens = self._tokenizer(
            sentences,
            padding="max_length" if full else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        taken = ("input_ids",) if full else ("input_ids", "attention_mask")
        return {name: tokens[name].to(self.device) for name in taken}

    def _directions(self, projection: str, pooled: torch.Tensor) -> NDArray[np.float32]:
        """Return pooled features as unit vectors of the common space; SigLIP projects none."""
        project = getattr(self._model, projection, None)
        features = pooled if project is None else project(pooled)
        vectors: NDArray[np.float32] = normalize(features.float(), dim=-1).cpu().numpy()
        return vectors


def load(folder: Path, device: str = "auto") -> TextImageModel:
    """Load a model from a folder; nothing in it is run, and nothing is downloaded.

    Parameters
    ----------
    folder : Path
        With config.json, model.safetensors, the files of the tokenizer and
        preprocessor_config.json, as they are published.
    device : str

    Raises
    ------
    ValueError
        If something is missing, damaged, or of another kind of model.
    """
    check_text_model(folder)
    config = _json(folder / CONFIG)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"{folder} holds a model of the type {kind!r}; it must be one of {', '.join(KINDS)}"
        )
    if config.get("quantization_config") is not None:
        raise ValueError(
            f"the weights in {folder} are quantised, which is not supported; take the model's "
            "folder of full precision"
        )
    chosen = choose_device(device)
    check_memory((folder / WEIGHTS).stat().st_size, WORKING, chosen, folder.name)
    transformers: Any = import_module("transformers")
    with _quiet(transformers):
        model = _model(getattr(transformers, KINDS[kind]), folder)
        tokenizer = _tokenizer(transformers, folder, int(model.config.text_config.vocab_size))
    prepared = _preprocessing(folder, int(model.config.vision_config.image_size))
    found = TextImageModel(model.eval().to(chosen), tokenizer, prepared, folder.name, chosen)
    _check_usable(found, folder)
    return found


def _model(kind: Any, folder: Path) -> Any:
    """Return a model with all its weights; transformers would draw missing ones at random."""
    try:
        model, info = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are looked for below: its own report is silenced
            output_loading_info=True,
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS} cannot be read: {_first_line(error)}") from error
    except (*UNUSABLE, ImportError) as error:
        raise ValueError(
            f"{folder / CONFIG} describes no model that can be built: {_first_line(error)}"
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(f"{folder / WEIGHTS} lacks {len(missing)} tensors, such as {missing[0]}")
    other = sorted(info["mismatched_keys"])
    if other:
        name, here, stated = other[0]
        raise ValueError(
            f"{folder / WEIGHTS} does not suit {CONFIG}: {name} is of the shape {tuple(here)}, but "
            f"{tuple(stated)} is stated; take both files of one model"
        )
    return model


def _check_usable(model: TextImageModel, folder: Path) -> None:
    """Let a model see a word and an image: what is wrong with it is said before work begins."""
    try:
        word = model.embed_text("cell")
        image = model.embed_images([np.zeros((8, 8, 3), np.uint8)])[0]
    except UNUSABLE as error:
        raise ValueError(f"the model in {folder} does not work: {_first_line(error)}") from error
    if word.shape != image.shape or not np.isfinite([word, image]).all():
        raise ValueError(
            f"the model in {folder} does not work: its vectors of words and images cannot be "
            "compared; its files are damaged or of several models"
        )


def _tokenizer(transformers: Any, folder: Path, most: int) -> Any:
    """Return a tokenizer of at most so many tokens."""
    problem: Exception | None = None
    try:
        found = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if len(found) <= most and any((folder / name).is_file() for name in VOCABULARIES):
            return found
    except ImportError as error:  # SigLIP's needs a package of its own
        raise ValueError(
            f"the tokenizer of {folder} needs a package that is not installed; try pip install "
            "sentencepiece protobuf"
        ) from error
    except (OSError, *UNUSABLE) as error:
        problem = error
    except Exception as error:
        if type(error) is not Exception:  # tokenizers raises this class itself for a damaged file
            raise
        problem = error
    raise ValueError(
        f"the tokenizer in {folder} is missing, damaged or of another model; put tokenizer.json "
        "and tokenizer_config.json of the model there"
    ) from problem


def _preprocessing(folder: Path, size: int) -> Preprocessing:
    """Read how images are prepared; crops are square, so that nothing more is cut off them."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        stated = _json(path)
    else:  # where newer versions of transformers write it
        path = folder / "processor_config.json"
        stated = _json(path).get("image_processor", {})
    try:
        mean, std = (np.asarray(stated[k], np.float32) for k in ("image_mean", "image_std"))
        scale = float(stated.get("rescale_factor", 1 / 255))
        resample = int(Image.Resampling(stated.get("resample", Image.Resampling.BICUBIC)))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how images are prepared for the model") from error
    usable = mean.shape == std.shape == (3,) and np.isfinite([mean, std]).all()
    if not usable or not (std > 0).all() or not LEAST_SCALE <= scale <= 1:
        raise ValueError(f"{path} has no usable scale, mean and deviation of three colours")
    return Preprocessing(size, resample, scale, mean, std)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is missing or cannot be read") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not hold settings")
    return found


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Let transformers write no bar and no warning: what is wrong is said in one sentence."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
