"""A checkpoint's tensors under their published names, and the family that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

WRAPPERS = ("model_state", "state_dict", "model", "model_state_dict")
"""Keys that a state dict is found under in files of training programs."""
PREFIXES = ("module.", "sam.")
"""What training programs put in front of every name."""
PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
SIGNS = {
    "image_encoder.blocks.0.attn.rel_pos_h": "vit",
    "image_encoder.patch_embed.seq.0.c.weight": "mobile_sam",
    "encoder.stem.0.0.weight": "pocket",
}
"""A tensor that only one family has."""
OTHERS = {
    "image_encoder.trunk.": "a SAM 2 model",
    "mask_decoder.hf_token.": "a SAM-HQ model",
    "vision_encoder.": "a model in the naming of the transformers library",
    ".qkv.qkv_proj.": "a model with adapters (LoRA) that are not merged",
}
"""Parts of the names of models that cannot be loaded."""
KINDS = "known are SAM (ViT-B, ViT-L, ViT-H), MobileSAM and pocket"
MOST_NAMES = 3  # of an error message


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of one model, bare of wrappers and prefixes.

    Attributes
    ----------
    tensors : dict of str to Tensor
    family : str
        Module of this package that builds the model.
    """

    tensors: dict[str, Tensor]
    family: str

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take as float32."""
        return 4 * sum(value.numel() for value in self.tensors.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self.tensors:
            raise ValueError(f"the checkpoint lacks {name}")
        return tuple(self.tensors[name].shape)

    def count(self, prefix: str) -> int:
        """Return how many numbered modules follow `prefix`."""
        rests = (name[len(prefix) :] for name in self.tensors if name.startswith(prefix))
        return len({rest.partition(".")[0] for rest in rests})

    def load_into(self, module: nn.Module) -> None:
        """Give a module these tensors as float32, each name exactly once.

        Raises
        ------
        ValueError
            If a tensor is missing, left over or of another shape.
        """
        wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        found = {name: tuple(value.shape) for name, value in self.tensors.items()}
        wrong = [
            f"{name} is {found[name]} in place of {wanted[name]}"
            for name in wanted.keys() & found.keys()
            if wanted[name] != found[name]
        ]
        for text, names in (
            ("lacks", sorted(wanted.keys() - found.keys())),
            ("has besides", sorted(found.keys() - wanted.keys())),
            ("differs in shape:", sorted(wrong)),
        ):
            if names:
                more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                listed = ", ".join(names[:MOST_NAMES])
                raise ValueError(
                    f"this is no complete {self.family} model: it {text} {listed}{more}"
                )
        own = {  # copies: the file may be mapped into memory
            name: value.float().clone() if value.is_floating_point() else value.clone()
            for name, value in self.tensors.items()
        }
        module.load_state_dict(own, strict=True, assign=True)


def recognise(content: Any) -> Checkpoint:
    """Find the model in what a file holds.

    Parameters
    ----------
    content : object
        A state dict, bare or inside a dictionary under one of `WRAPPERS`, the names perhaps
        prefixed. Further keys (an optimiser, the decoder of an extra head) are left aside.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ValueError
        If there is no model in it that can be loaded.
    """
    found = state_dict(content)
    tensors = {bare(name): value for name, value in found.items()}
    if len(tensors) < len(found):
        raise ValueError("the file holds several models; save the one that is meant")
    family = next((family for sign, family in SIGNS.items() if sign in tensors), None)
    for part, what in OTHERS.items():
        if any(part in name for name in tensors):
            raise ValueError(f"the file holds {what}, which cannot be loaded; {KINDS}")
    if family is None:
        raise ValueError(f"the file's tensors are not those of a known model; {KINDS}")
    if family != "pocket":
        tensors = {name: value for name, value in tensors.items() if name.startswith(PARTS)}
    return Checkpoint(tensors, family)


def state_dict(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name of a state dict that may be wrapped.

    Raises
    ------
    ValueError
        If there are none.
    """
    for _ in range(len(WRAPPERS) + 1):
        if not isinstance(content, Mapping):
            break
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        inner = [mapping for mapping in inner if mapping]
        if not inner:
            if tensors:
                return tensors
            break
        content = inner[0]
    raise ValueError("the file holds no dictionary of tensors; save the model's state_dict()")


def bare(name: str) -> str:
    """Return a tensor's name without the prefixes of training programs."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
