"""An exported model: a folder with two graphs and `model.json`, which says what they are; no onnx.

The files may come from anyone. So `model.json` names them without folders, with their lengths and
hashes, which are checked before anything else reads them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

MODEL = "model.json"
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
FORMAT = "napari_sam ONNX"
VERSION = 1
"""Of `model.json`; later ones are refused."""
FAMILIES = ("sam", "pocket")
PRECISIONS = ("fp32", "fp16", "int8")
MAX_BYTES = 1 << 20
"""Of `model.json`, which holds no weights."""
MAX_SIDE = 1 << 14
"""Of the input, pixels."""
MAX_MASKS = 64
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Of a file beside `model.json`: no folder, nothing hidden."""
DIGEST = re.compile(r"[0-9a-f]{8,128}")
CHUNK = 1 << 22  # bytes read at a time
REPORTS = ("report.md", "report.json")
"""Beside a model; nothing but people reads them."""
LEFT_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in folders."""
AGAIN = "export the model again"


class FileMark(NamedTuple):
    """What a file is recognised by.

    Attributes
    ----------
    bytes : int
        Its length.
    blake2b : str
        Hash of its content, 32 bytes as hexadecimal digits.
    """

    bytes: int
    blake2b: str


@dataclass(frozen=True)
class ExportedModel:
    """What `model.json` says of an exported model.

    Attributes
    ----------
    family : {"sam", "pocket"}
        Which inputs and outputs the graphs have.
    name : str
        Of the model that was exported.
    image_size : int
        Length that the longer side of a plane is resized to.
    precision : {"fp32", "fp16", "int8"}
    opset : int
        Version of the operators of the graphs.
    masks : int
        Masks that the decoder answers with: 4, the first of which is the single one, or 1.
    fingerprint : str
        Of the weights that were exported; see `PromptableModel.fingerprint`.
    files : mapping of str to FileMark
        Every file that belongs to the model, by its name.
    made_with : mapping of str to str
        Versions of the packages that made it.
    """

    family: str
    name: str
    image_size: int
    precision: str
    opset: int
    masks: int
    fingerprint: str
    files: Mapping[str, FileMark]
    made_with: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, given, known in (
            ("family", self.family, FAMILIES),
            ("precision", self.precision, PRECISIONS),
        ):
            if given not in known:
                raise ValueError(f"the {name} is one of {', '.join(known)}, but is {given!r}")
        for name, number, most in (
            ("image_size", self.image_size, MAX_SIDE),
            ("masks", self.masks, MAX_MASKS),
            ("opset", self.opset, 1000),
        ):
            if not 1 <= number <= most:
                raise ValueError(f"{name} is 1 to {most}, but is {number}")
        if not DIGEST.fullmatch(self.fingerprint):
            raise ValueError("the fingerprint is a hexadecimal number")
        for name, mark in self.files.items():
            if not PLAIN_NAME.fullmatch(name) or name == MODEL:
                raise ValueError(f"{name!r} is not the name of a file beside {MODEL}")
            if mark.bytes < 0 or not DIGEST.fullmatch(mark.blake2b):
                raise ValueError(f"the length or the hash of {name} is none")
        if missing := {ENCODER, DECODER} - set(self.files):
            raise ValueError(f"{', '.join(sorted(missing))} is not among the files")

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(mark.bytes for mark in self.files.values())

    @classmethod
    def read(cls, path: str | Path) -> ExportedModel:
        """Read what is said of a model; the other files are not looked at, see `verify`.

        Parameters
        ----------
        path : path
            The folder, or a file in it.

        Raises
        ------
        ValueError
            If there is no exported model, or `model.json` is damaged or of a later version.
        """
        place = folder_of(path) / MODEL
        try:
            with place.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(
                f"{place} cannot be read ({error.strerror}); an exported model is a folder with "
                f"{MODEL}, {ENCODER} and {DECODER}"
            ) from error
        try:
            return cls._from_json(content)
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
            reason = str(error) if type(error) is ValueError else "it does not describe a model"
            raise ValueError(f"{place} is damaged: {reason}; {AGAIN}") from error
        except LaterVersionError as error:
            raise ValueError(f"{place} {error}") from error

    def write(self, folder: str | Path) -> None:
        """Write `model.json` into a folder.

        Raises
        ------
        OSError
            If the disk refuses it.
        """
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        content["files"] = {name: mark._asdict() for name, mark in self.files.items()}
        text = json.dumps(content, indent=2, allow_nan=False)
        (Path(folder) / MODEL).write_text(f"{text}\n", encoding="utf-8")

    def verify(self, folder: str | Path) -> None:
        """Check that the files are there and as they were written, and that there are no others.

        A graph may take its weights from any file beside it, so one without a hash is refused.

        Raises
        ------
        ValueError
            Naming the first that is missing, damaged or not of the model.
        """
        for name, mark in self.files.items():
            path = Path(folder) / name
            try:
                same = path.stat().st_size == mark.bytes and mark_of(path) == mark
            except OSError as error:
                raise ValueError(
                    f"{path} cannot be read ({error.strerror}); copy it there, or {AGAIN}"
                ) from error
            if not same:
                raise ValueError(
                    f"{path} is damaged or of another export: its hash is not the one in {MODEL}; "
                    f"copy the whole folder anew, or {AGAIN}"
                )
        known = {*self.files, MODEL, *REPORTS, *LEFT_BY_SYSTEMS}
        if others := sorted({path.name for path in Path(folder).iterdir()} - known):
            raise ValueError(
                f"{Path(folder) / others[0]} is not named in {MODEL}, so it has no hash; move it "
                f"elsewhere, or {AGAIN}"
            )

    @classmethod
    def _from_json(cls, content: bytes) -> ExportedModel:
        if len(content) > MAX_BYTES:
            raise ValueError("it is too long")
        found = json.loads(content)
        if found["format"] != FORMAT or type(found["version"]) is not int:
            raise KeyError("format")
        if found["version"] > VERSION:
            raise LaterVersionError(
                "was written by a later version of napari_sam; update napari_sam"
            )
        own: dict[str, Any] = {one.name: found[one.name] for one in fields(cls)}
        own["files"] = {
            name: FileMark(mark["bytes"], mark["blake2b"]) for name, mark in own["files"].items()
        }
        marks = own["files"].values()
        texts = [own[name] for name in ("family", "name", "precision", "fingerprint")]
        texts += [one for pair in own["made_with"].items() for one in pair]
        texts += [mark.blake2b for mark in marks]
        numbers = [own[name] for name in ("image_size", "opset", "masks")]
        numbers += [mark.bytes for mark in marks]
        if {*map(type, texts)} != {str} or {*map(type, numbers)} != {int}:
            raise TypeError("kind")
        return cls(**own)


class LaterVersionError(Exception):
    """It was written by a later version of this package."""


def folder_of(path: str | Path) -> Path:
    """Return the folder of an exported model, given that or a file in it."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def is_exported(path: str | Path) -> bool:
    """Tell whether a folder holds an exported model; its files are not looked at."""
    return (Path(path) / MODEL).is_file()


def marks_of(folder: str | Path, names: Iterable[str]) -> dict[str, FileMark]:
    """Return what files of a folder are recognised by, as `ExportedModel.files`."""
    return {name: mark_of(Path(folder) / name) for name in names}


def mark_of(path: Path) -> FileMark:
    """Return what a file is recognised by.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=32)
    length = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            length += len(chunk)
    return FileMark(length, digest.hexdigest())
