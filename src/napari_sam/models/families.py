"""The model families, as data: what their files are recognised by, and the module that builds them.

A new family is a module of this package, a `contract.FamilyModule`, and one entry of `FAMILIES`;
each of its published checkpoints is one entry of `specs.SPECS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

STATE_DICT_RUNTIME = "weights"
"""Module that reads files of torch's tensors and knows torch's devices."""
EXPORTED_RUNTIME = "onnx_runtime"
"""Module that runs exported models; where torch is not installed, `pocket` too."""
EXPORTED_SUFFIX = ".onnx"
DEVICES = {
    STATE_DICT_RUNTIME: ("auto", "cpu", "cuda", "mps"),
    EXPORTED_RUNTIME: ("auto", "cpu", "cuda", "coreml", "directml"),
}
"""What a user can choose from, by the module of the runtime; not all are on each machine."""
STATE_DICT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True)
class Family:
    """Models of one structure.

    A file belongs to the family that its suffix names, or else to the one whose tensor it holds.

    Attributes
    ----------
    name : str
        The module of this package whose `build(file, name, device)` returns a model.
    title : str
        Display name of these models.
    tensor : str
        Name of a tensor that only this family has; empty for files that are no state dict.
    parts : tuple of str
        How the names of the model's tensors begin; others are left aside. Empty for any.
    suffix : str
        Of files that only this family has, as `.onnx`; empty for state dicts.
    """

    name: str
    title: str
    tensor: str = ""
    parts: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def runtime(self) -> str:
        """The module that is a `contract.Runtime`; with files of its own, the family's."""
        return self.name if self.suffix else STATE_DICT_RUNTIME


_SAM = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
_SAM2 = (
    "image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "memory_attention.",
    "memory_encoder.", "maskmem_tpos_enc", "mask_downsample.", "no_mem_", "no_obj_", "obj_ptr_",
)  # fmt: skip
FAMILIES = (
    Family(
        "vit", "SAM (ViT-B, ViT-L, ViT-H)",
        tensor="image_encoder.blocks.0.attn.rel_pos_h", parts=_SAM,
    ),
    Family(
        "mobile_sam", "MobileSAM",
        tensor="image_encoder.patch_embed.seq.0.c.weight", parts=_SAM,
    ),
    Family(
        "sam2", "SAM 2.1", tensor="image_encoder.trunk.pos_embed_window", parts=_SAM2,
    ),
    Family("pocket", "pocket", tensor="encoder.stem.0.0.weight"),
    Family(EXPORTED_RUNTIME, "models exported to ONNX", suffix=EXPORTED_SUFFIX),
)  # fmt: skip
UNSUPPORTED = {
    "image_encoder.trunk.body.": "an EdgeTAM model",
    "mask_decoder.hf_token.": "a SAM-HQ model",
    "vision_encoder.": "a model in the naming of the transformers library",
    ".qkv.qkv_proj.": "a model with adapters (LoRA) that are not merged",
}
"""Parts of the names of tensors of models that cannot be loaded, and what these are."""


def file_suffixes() -> tuple[str, ...]:
    """Return the suffixes of files that a model can be loaded from."""
    return (*STATE_DICT_SUFFIXES, *(family.suffix for family in FAMILIES if family.suffix))


def runtime_of(file: str | PurePath) -> str:
    """Return the module that is the `contract.Runtime` of a file, told by its suffix."""
    suffix = PurePath(file).suffix.lower()
    found = (family.runtime for family in FAMILIES if family.suffix and family.suffix == suffix)
    return next(found, STATE_DICT_RUNTIME)


def known_titles() -> str:
    """Return which models can be loaded, as the end of a sentence."""
    *titles, last = (family.title for family in FAMILIES)
    return f"known are {', '.join(titles)} and {last}"
