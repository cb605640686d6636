"""Reading images and writing labels: the public names of both."""

from __future__ import annotations

from .files import write_text
from .formats.label_images import write_labels
from .images.readers import StackImage, read_image

__all__ = ["StackImage", "read_image", "write_labels", "write_text"]
