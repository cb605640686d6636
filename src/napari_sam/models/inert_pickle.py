"""Pickled tensors, read without importing or calling anything that a file names.

A pickle names classes and functions, and asks to call them. Of these only a fixed list is known
here, each replaced by code of this package; every other one becomes an empty object that does
nothing. So a checkpoint may hold whatever its training program kept beside the weights.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import torch

from .stored import Extent, StoredFile, StoredTensor, UnsupportedTensor

READ_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError,
    TypeError, ValueError, pickle.UnpicklingError,
)  # fmt: skip
"""What reading flipped or missing bytes was seen to raise."""
PROGRAM_MODULES = frozenset(
    {"commands", "ctypes", "importlib", "nt", "os", "posix", "pty", "runpy", "shutil", "socket",
     "subprocess", "sys", "webbrowser"}
)  # fmt: skip
PROGRAM_BUILTINS = frozenset({"__import__", "compile", "eval", "exec", "execfile", "open"})
"""No training program keeps these in a file: it was made to run code."""
STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
    "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
}  # fmt: skip
DTYPES = {f"{name}Storage": dtype for name, dtype in STORAGES.items()} | {
    str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()
}
"""Types by the names of torch's classes of storages, and by their own."""
TENSOR_KINDS = {
    "qtensor": "a quantised tensor",
    "sparse_tensor": "a sparse tensor",
    "sparse_csr_tensor": "a sparse tensor",
    "nested_tensor": "a nested tensor",
    "meta_tensor_no_storage": "a tensor without values",
}
"""Tensors that are no plain array, by the function of torch that makes them."""


class RefusedError(ValueError):
    """Why a file is not read, as the rest of a sentence about it."""


class Inert(dict[Any, Any]):
    """Placeholder for an object of an unknown class; a list, dictionary or set keeps its items.

    Any arguments are taken and forgotten.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __new__(cls, *_args: object, **_named: object) -> Inert:
        """Return an empty object."""
        return super().__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        super().__init__()

    def append(self, _item: object) -> None:
        """Forget an item of a list."""

    def extend(self, _items: object) -> None:
        """Forget items of a list."""

    def add(self, _item: object) -> None:
        """Forget an item of a set."""


class Storage:
    """Bytes of a file that tensors lie in.

    Parameters
    ----------
    file : StoredFile
    extent : Extent
    dtype : torch.dtype or None
        None for a type that is no plain number.
    """

    __slots__ = ("dtype", "extent", "file")

    def __init__(self, file: StoredFile, extent: Extent, dtype: torch.dtype | None) -> None:
        self.file, self.extent, self.dtype = file, extent, dtype


StorageFinder = Callable[[torch.dtype | None, str, int], Storage]
"""Of a type (None for one that is no plain number), a key and a number of elements."""


class InertUnpickler(pickle._Unpickler):
    """Reads one pickle.

    The pure Python class of the standard library is used: the other one asks for as much memory as
    a damaged file says.

    Parameters
    ----------
    file : binary file
    find : StorageFinder
        Returns the `Storage` that a pickle refers to.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO, find: StorageFinder) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self._find = find
        self.unknown: set[str] = set()
        """Names of the classes and functions that were left out."""

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what stands for a class or function.

        Raises
        ------
        RefusedError
            If it is one that runs programs.
        """
        module, name = str(module), str(name)
        in_builtins = module in ("builtins", "__builtin__")
        runs = module.partition(".")[0] in PROGRAM_MODULES and module != "os.path"
        if runs or (in_builtins and name in PROGRAM_BUILTINS):
            raise RefusedError(f"asks to run {module}.{name} when it is opened, and is refused")
        known = KNOWN.get((module, name))
        if known is not None:
            return known
        if module in ("torch", "torch.cuda", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if module == "torch._utils" and name.startswith("_rebuild_"):
            kind = TENSOR_KINDS.get(name.removeprefix("_rebuild_"), "of a kind that is not read")
            return lambda *_arguments: UnsupportedTensor(kind)
        self.unknown.add(f"{module}.{name}")
        return type(name, (Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage, or the class of a module, that a file keeps apart."""
        what, kind, *rest = pid
        if what == "module":
            return kind
        if what != "storage":
            raise pickle.UnpicklingError("a file keeps storages apart, nothing else")
        key, _device, count, *view = rest
        dtype = kind if isinstance(kind, torch.dtype) else None
        if view and view[0] is not None:
            raise pickle.UnpicklingError("storages that are views of others are not read")
        return self._find(dtype, str(key), count)

    def load_build(self) -> None:
        """Forget the state of an object: nothing gets attributes from a file."""
        self.stack.pop()

    dispatch[pickle.BUILD[0]] = load_build


def _tensor(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_more: object
) -> StoredTensor | UnsupportedTensor:
    if storage.dtype is None:
        return UnsupportedTensor("of a type that is not read")
    return _view(storage, storage.dtype, offset, size, stride)


def _tensor_of_bytes(
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    _gradient: bool,
    _hooks: object,
    dtype: object,
    *_more: object,
) -> StoredTensor | UnsupportedTensor:
    if not isinstance(dtype, torch.dtype):
        return UnsupportedTensor("of a type that is not read")
    return _view(storage, dtype, offset, size, stride)


def _view(
    storage: Storage,
    dtype: torch.dtype,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
) -> StoredTensor:
    return StoredTensor(storage.file, storage.extent, dtype, tuple(size), tuple(stride), offset)


def _parameter(tensor: object, *_more: object) -> object:
    return tensor


def _of_type(make: Callable[..., object], _kind: object, args: Any, *_more: object) -> object:
    return make(*args)


KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_bytes,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
}
"""What is understood of a file; all else is inert."""
