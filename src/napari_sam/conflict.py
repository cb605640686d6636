"""Detects an older plugin that installs the same import name, and says how to remove it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

OLD_DISTRIBUTION = "napari-sam"


def conflict() -> str | None:
    """Return one sentence if the older plugin is installed beside this one, else None."""
    try:
        found = version(OLD_DISTRIBUTION)
    except PackageNotFoundError:
        return None
    return (
        f"the abandoned plugin {OLD_DISTRIBUTION} {found} is installed and overwrites parts of "
        f"this one: run `pip uninstall {OLD_DISTRIBUTION}`, then "
        "`pip install --force-reinstall --no-deps napari-sam-stack`"
    )
