"""Whether torch and ONNX Runtime are installed, and what to say where one is not; loads neither."""

from __future__ import annotations

from importlib.util import find_spec


def has_torch() -> bool:
    """Tell whether torch is installed."""
    return find_spec("torch") is not None


def require_torch(what: str) -> None:
    """Refuse what torch is needed for.

    Parameters
    ----------
    what : str
        The beginning of the sentence, as "training".

    Raises
    ------
    ValueError
        Where torch is not installed.
    """
    if not has_torch():
        raise ValueError(f"{what} needs torch, which is not installed: pip install torch")


def require_onnxruntime(what: str) -> None:
    """Refuse what ONNX Runtime is needed for; as `require_torch`."""
    if find_spec("onnxruntime") is None:
        raise ValueError(
            f"{what} needs onnxruntime, which is not installed: pip install onnxruntime"
        )
