"""Hides torch: a process that imports this first runs as where torch is not installed."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

HIDDEN = ("torch", "torchvision")


class Hiding(PathFinder):
    """Finds what Python's own finder does, but for torch."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] in HIDDEN:
            return None
        return PathFinder.find_spec(fullname, path, target)


def hide():
    """Let this process find no torch; none may be loaded yet."""
    if loaded := [name for name in HIDDEN if name in sys.modules]:
        raise RuntimeError(f"{loaded} is loaded already")
    sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding


hide()
