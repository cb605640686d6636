"""Stacks: everything mode plane by plane, objects joined across planes."""

from .join import linked
from .planes import everything, run

__all__ = ["everything", "linked", "run"]
