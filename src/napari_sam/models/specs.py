"""The checkpoints that are known by name: data, no code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from .families import file_suffixes

BUNDLED = "pocket"


@dataclass(frozen=True)
class ModelSpec:
    """One checkpoint.

    Attributes
    ----------
    name : str
    architecture : str
    url : str
        Where the file comes from; empty for a file of this package.
    hash : str
        `algorithm:digest`, the algorithm sha256 or xxh128; empty for a file of this package.
    size : int
        Bytes. Where `exact_size` is false the publisher states none, and this is an estimate.
    licence : str
    image_size : int
        Length of the longer side that the model sees, in pixels.
    note : str
        One line on what it is good for.
    exact_size : bool
    """

    name: str
    architecture: str
    url: str
    hash: str
    size: int
    licence: str
    image_size: int
    note: str
    exact_size: bool = True

    @property
    def bundled(self) -> bool:
        """Whether the file is part of this package."""
        return not self.url

    @property
    def file_name(self) -> str:
        """What the file is called on this machine."""
        if self.bundled:
            return f"{self.name}.safetensors"
        suffix = PurePosixPath(urlsplit(self.url).path).suffix
        return self.name + (suffix if suffix in file_suffixes() else ".pt")

    @property
    def size_text(self) -> str:
        """The size as people read it."""
        about = "" if self.exact_size else "about "
        return f"{about}{self.size / 1e6:,.0f} MB"


_META = "https://dl.fbaipublicfiles.com/segment_anything"
_BIOIMAGE = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
_OWNCLOUD = "https://owncloud.gwdg.de/index.php/s"
_META_2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_VIT_B, _VIT_L, _VIT_T = 375_042_383, 1_249_524_607, 40_728_226
ARCHITECTURES = {"vit_t": "MobileSAM", "vit_b": "SAM ViT-B", "vit_l": "SAM ViT-L"}


def _micro_sam(name: str, place: str, digest: str, size: int, note: str) -> ModelSpec:
    """Return the spec of one of micro-sam's models."""
    architecture = ARCHITECTURES[name[:5]]
    return ModelSpec(
        name, architecture, f"{_BIOIMAGE}/{place}", f"xxh128:{digest}", size, "CC-BY-4.0", 1024,
        note, exact_size=False,
    )  # fmt: skip


def _sam2(size: str, nbytes: int, digest: str, note: str) -> ModelSpec:
    """Return the spec of one of the published models of SAM 2.1."""
    name = f"sam2.1_hiera_{size}"
    return ModelSpec(
        name, f"SAM 2.1 Hiera-{size.capitalize().replace('_plus', '+')}", f"{_META_2}/{name}.pt",
        f"sha256:{digest}", nbytes, "Apache-2.0", 1024, note,
    )  # fmt: skip


SPECS = (
    ModelSpec(
        name=BUNDLED,
        architecture="pocket",
        url="",
        hash="",
        size=13_605_586,
        licence="BSD-3-Clause",
        image_size=512,
        note="bundled; cells, nuclei, organelles, organs; quick without a GPU",
    ),
    ModelSpec(
        "mobile_sam", "MobileSAM",
        "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        "sha256:6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        _VIT_T, "Apache-2.0", 1024, "everyday pictures; the quickest of SAM's size",
    ),
    ModelSpec(
        "vit_b", "SAM ViT-B", f"{_META}/sam_vit_b_01ec64.pth",
        "sha256:ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        _VIT_B, "Apache-2.0", 1024, "everyday pictures; SAM's smallest, slow without a GPU",
    ),
    ModelSpec(
        "vit_l", "SAM ViT-L", f"{_META}/sam_vit_l_0b3195.pth",
        "sha256:3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        _VIT_L, "Apache-2.0", 1024, "everyday pictures; better and slower than vit_b",
    ),
    ModelSpec(
        "vit_h", "SAM ViT-H", f"{_META}/sam_vit_h_4b8939.pth",
        "sha256:a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879, "Apache-2.0", 1024, "everyday pictures; SAM's largest, for a GPU",
    ),
    _sam2(
        "tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        "everyday pictures; SAM 2's smallest, follows objects through a stack",
    ),
    _sam2(
        "small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        "everyday pictures; follows objects through a stack",
    ),
    _sam2(
        "base_plus", 323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        "everyday pictures; better and slower, follows objects through a stack",
    ),
    _sam2(
        "large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        "everyday pictures; SAM 2's largest, for a GPU",
    ),
    _micro_sam(
        "vit_b_lm", "diplomatic-bug/1.2/files/vit_b.pt", "fe9252a29f3f4ea53c15a06de471e186",
        _VIT_B, "micro-sam: cells and nuclei in light microscopy",
    ),
    _micro_sam(
        "vit_l_lm", "idealistic-rat/1.2/files/vit_l.pt", "017f20677997d628426dec80a8018f9d",
        _VIT_L, "micro-sam: light microscopy, larger",
    ),
    _micro_sam(
        "vit_t_lm", "faithful-chicken/1.1/files/vit_t.pt", "72ec5074774761a6e5c05a08942f981e",
        _VIT_T, "micro-sam: light microscopy, the quickest",
    ),
    _micro_sam(
        "vit_b_em_organelles", "noisy-ox/1.2/files/vit_b.pt", "f3bf2ed83d691456bae2c3f9a05fb438",
        _VIT_B, "micro-sam: organelles in electron microscopy",
    ),
    _micro_sam(
        "vit_l_em_organelles", "humorous-crab/1.2/files/vit_l.pt",
        "810b084b6e51acdbf760a993d8619f2d",
        _VIT_L, "micro-sam: electron microscopy, larger",
    ),
    _micro_sam(
        "vit_t_em_organelles", "greedy-whale/1/files/vit_t.pt", "253474720c497cce605e57c9b1d18fd9",
        _VIT_T, "micro-sam: electron microscopy, the quickest",
    ),
    ModelSpec(
        "vit_b_histopathology", "SAM ViT-B", f"{_OWNCLOUD}/sBB4H8CTmIoBZsQ/download",
        "xxh128:ffd1a2cd84570458b257bd95fdd8f974",
        _VIT_B, "see publisher", 1024, "PathoSAM: stained tissue", exact_size=False,
    ),
    ModelSpec(
        "vit_b_medical_imaging", "SAM ViT-B", f"{_OWNCLOUD}/f5Ol4FrjPQWfjUF/download",
        "xxh128:40169f1e3c03a4b67bff58249c176d92",
        _VIT_B, "see publisher", 1024, "medico-sam: radiology and other medical images",
        exact_size=False,
    ),
)  # fmt: skip
