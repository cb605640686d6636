"""Whether a model fits into the memory that is free."""

from __future__ import annotations


def require_memory(name: str, needed: int, free: int, where: str) -> None:
    """Refuse a model that a device cannot hold.

    Parameters
    ----------
    name : str
    needed, free : int
        Bytes.
    where : str
        The device.

    Raises
    ------
    ValueError
        Telling what is needed and what is free.
    """
    if needed > free:
        raise ValueError(
            f"{name} needs about {needed / 1e9:.1f} GB of memory on {where}, but "
            f"{free / 1e9:.1f} GB are free; close something or choose a smaller model"
        )
