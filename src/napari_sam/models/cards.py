"""The card of a tuned model: what it was made from, how, and how good it is; no torch.

A tuned file is in the format of safetensors. Its metadata hold the card as JSON, and a checksum of
the card and all tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from ..files import replacing

CARD = "napari_sam.card"
CHECKSUM = "napari_sam.checksum"
FORMAT = 1
"""Of the card; files of a later format are refused."""
SUFFIX = ".safetensors"
MAX_HEADER = 1 << 26
"""Bytes of a header, which holds no weights."""
CHUNK = 1 << 22  # bytes copied at a time
ALIGNMENT = 8  # of the tensors, as the library of safetensors has it


@dataclass(frozen=True)
class Card:
    """What a tuned file tells of itself.

    Attributes
    ----------
    base : str
        Name or path of the model that was tuned.
    base_fingerprint : str
        `adapters.fingerprint_of` of that model's weights.
    data_fingerprint : str
        A hash of the examples that it learnt from.
    settings, figures : mapping
        Of the tuning, and of the comparison with the base: values of JSON.
    made : str
        Date and time in ISO 8601.
    version : str
        Of this package.
    complete : bool
        Whether the file holds all weights; otherwise only those that differ from the base's.
    """

    base: str
    base_fingerprint: str
    data_fingerprint: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    made: str = ""
    version: str = ""
    complete: bool = False

    def as_json(self) -> str:
        """Return the card as JSON.

        Raises
        ------
        ValueError
            If settings or figures hold what JSON does not.
        """
        try:
            return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a card holds values of JSON only: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Return the card that `as_json` wrote.

        Raises
        ------
        ValueError
            If it is damaged or of a later format.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("its card is damaged") from error
        if not isinstance(found, dict) or type(found.get("format")) is not int:
            raise ValueError("its card is damaged")
        if found["format"] > FORMAT:
            raise ValueError("it was written by a later version of napari_sam; update napari_sam")
        kinds = {"settings": dict, "figures": dict, "complete": bool}
        own: dict[str, Any] = {one.name: found.get(one.name) for one in fields(cls)}
        if not all(isinstance(value, kinds.get(name, str)) for name, value in own.items()):
            raise ValueError("its card is damaged")
        return cls(**own)

    def as_text(self) -> str:
        """Return the card as lines of text."""
        holds = "all weights" if self.complete else "what differs from the base"
        rows: list[tuple[str, object]] = [("base", self.base), ("holds", holds)]
        rows += [("made", self.made), ("version", self.version)]
        rows.append(("fingerprint of the base", self.base_fingerprint))
        rows.append(("fingerprint of the data", self.data_fingerprint))
        for title, values in (("settings", self.settings), ("figures", self.figures)):
            rows += [(f"{title}: {name}", value) for name, value in _flat(values)]
        return "\n".join(f"{name}: {_shown(value)}" for name, value in rows if value != "")


def read_card(path: str | Path) -> Card | None:
    """Return the card of a file of weights; None if it has none.

    Raises
    ------
    ValueError
        If the file's card is damaged or of a later format.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        return None
    try:
        with path.open("rb") as file:
            header = read_header(file)[0]
    except (OSError, ValueError):  # whoever reads the weights says what is wrong
        return None
    text = header.get("__metadata__", {}).get(CARD)
    if text is None:
        return None
    try:
        return Card.from_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def with_card(source: str | Path, card: Card, target: str | Path) -> None:
    """Write a file of tensors again with another card.

    Parameters
    ----------
    source : path
        In the format of safetensors.
    card : Card
    target : path
        May be the source.

    Raises
    ------
    ValueError
        If the source cannot be read, or the target not be written.
    """
    text = card.as_json()
    # the source is closed before it may be replaced, as Windows wants it
    with replacing(target) as partial, opened(source) as file, partial.open("wb") as out:
        header, start = read_header(file)
        header["__metadata__"] = {CARD: text, CHECKSUM: _checksum(file, header, start, text)}
        content = json.dumps(header).encode()
        content += b" " * (-len(content) % ALIGNMENT)
        file.seek(start)
        out.write(len(content).to_bytes(8, "little") + content)
        for chunk in _chunks(file):
            out.write(chunk)


def verify(path: str | Path) -> None:
    """Check the checksum of a file that `with_card` wrote.

    Raises
    ------
    ValueError
        If it cannot be read or is damaged.
    """
    with opened(path) as file:
        try:
            header, start = read_header(file)
            notes = header["__metadata__"]
            intact = notes[CHECKSUM] == _checksum(file, header, start, notes[CARD])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged; copy or make it again") from error
    if not intact:
        raise ValueError(f"{path} is damaged: its checksum is wrong; copy or make it again")


def opened(path: str | Path) -> BinaryIO:
    """Open a file of weights.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the header of a file of safetensors, and where its tensors begin.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= MAX_HEADER:
        raise ValueError("it is no file of safetensors")
    header = json.loads(file.read(length))
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise ValueError("it is no file of safetensors")
    return header, 8 + length


def _checksum(file: BinaryIO, header: Mapping[str, Any], start: int, card: str) -> str:
    tensors = {name: header[name] for name in sorted(header) if name != "__metadata__"}
    digest = hashlib.blake2b(json.dumps([card, tensors]).encode(), digest_size=16)
    file.seek(start)
    for chunk in _chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", value


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value)
    return str(value)
