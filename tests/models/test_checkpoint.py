from __future__ import annotations

import argparse
import code as code_module
import collections
import cProfile
import datetime as dt
import decimal
import enum
import functools
import io
import operator
import os
import pdb
import pickle
import subprocess
import timeit
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from safetensors.torch import save_file

from napari_sam.models import mobile_sam, vit
from napari_sam.models.checkpoint import load_into, read
from napari_sam.models.recognition import recognise

MAGIC = 0x1950A86A20F9469CFC6C
"""Begins the older format."""


class Trainer:
    """Stands for what training programs put into their checkpoints."""


class Settings(dict):
    """A dictionary of their own, with attributes."""

    def __init__(self):
        super().__init__(lr=1)
        self.more = [1]


class Kind(enum.Enum):
    first = 1


@pytest.fixture(scope="module")
def small():
    return published(draw(SMALL))


def test_the_content_of_a_file_tells_its_format_not_its_name(tmp_path, small):
    torch.save(small, tmp_path / "a.safetensors")
    save_file({name: value.contiguous() for name, value in small.items()}, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        assert read(tmp_path / name).tensors.keys() == small.keys()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_of_torch_are_read(tmp_path, small, zipped):
    path = tmp_path / "a.pt"
    torch.save({"model_state": small}, path, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert found.family == "vit"
    torch.testing.assert_close(
        found.tensors["image_encoder.pos_embed"].read(), small["image_encoder.pos_embed"]
    )


def test_safetensors_are_read(tmp_path, small):
    for name in ("a.safetensors", "without_suffix"):
        save_file({k: value.contiguous() for k, value in small.items()}, tmp_path / name)
        assert read(tmp_path / name).tensors.keys() == small.keys()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "extra",
    [
        argparse.Namespace(lr=1), Trainer(), Settings(), np.float64(0.5), np.zeros(3),
        np.random.default_rng(0), Path("x"), print, torch.nn.Linear(2, 2),
        collections.defaultdict(dict, a=1), collections.Counter("ab"), collections.deque([1]),
        dt.datetime(2020, 1, 1), torch.Size([2]), torch.float16, torch.device("cpu"),
        {1, 2}, frozenset({3}), complex(1, 2), decimal.Decimal("0.1"),
        Kind.first, {Kind.first: 1}, slice(2), range(3), bytearray(b"x"),
        torch.zeros(2).to_sparse(), torch.zeros(2).to("meta"), torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_anything_else_in_a_file_is_left_aside(tmp_path, small, extra, zipped):
    path = tmp_path / "a.pt"
    content = {"extra": extra, "model_state": small}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert found.tensors.keys() == small.keys()
    name = "image_encoder.pos_embed"
    torch.testing.assert_close(found.tensors[name].read(), small[name])


def test_a_file_without_a_state_dict_names_what_was_left_out(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"state_dict.*torch\.nn\.modules\.linear\.Linear"):
        read(tmp_path / "a.pt")


class Reduced:
    """Is written as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Be callable, as pickle wants of what is called."""


def hostile(harm):
    """Return pickles, or what becomes one, that would run a command that makes a file."""
    command = f"touch {harm}"
    code = f"open({str(harm)!r}, 'w')"
    script = f"__import__('os').system({command!r})"
    text = f"X{len(command):c}\0\0\0{command}".encode("latin-1")
    name = b"\x8c\x05posix\x8c\x06system\x93"
    return {
        "os.system": Reduced(os.system, command),
        "eval": Reduced(eval, code),
        "exec": Reduced(exec, code),
        "through numpy": Reduced(np.zeros(1).__reduce__()[0], Reduced(os.system, command)),
        "as a constructor": Reduced(subprocess.Popen, ["touch", str(harm)]),
        "getattr": Reduced(Reduced(getattr, Reduced(__import__, "os"), "system"), command),
        "attrgetter": Reduced(Reduced(operator.attrgetter, "system"), Reduced(exec, code)),
        "map": Reduced(list, Reduced(map, eval, [code])),
        "partial": Reduced(functools.partial(eval, code)),
        "a console": Reduced(code_module.InteractiveInterpreter().runcode, script),
        "bytes of torch": Reduced(torch.storage._load_from_bytes, nested(Reduced(eval, code))),
        "timeit": Reduced(timeit.timeit, "pass", script),
        "pdb": Reduced(pdb.run, script),
        "profile": Reduced(cProfile.run, script),
        "stack global": b"\x80\x04" + name + text + b"\x85R.",
        "global": b"cposix\nsystem\n(" + text + b"tR.",
        "inst": b"(" + text + b"iposix\nsystem\n.",
        "obj": b"(cposix\nsystem\n" + text + b"o.",
        "build": b"ccollections\nOrderedDict\n}X\x0c\0\0\0__setstate__cposix\nsystem\nsb"
        + text + b"b.",
        "dotted": b"\x80\x04\x8c\x0ctorch._utils\x8c\x0ctorch.os.system\x93" + text + b"\x85R.",
        "of a tensor's type": b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\neval\nN("
        + text + b"ttR.",
    }  # fmt: skip


def nested(content):
    """Return the bytes of a file of torch."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


HOSTILE = tuple(hostile("x"))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, None])
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_in_a_file_is_run(tmp_path, kind, compression):
    harm, path = tmp_path / "harm", tmp_path / "a.pt"
    content = hostile(harm)[kind]
    if not isinstance(content, bytes):
        content = pickle.dumps({"model": {}, "more": content}, protocol=2)
    if compression is None:
        magic = [pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})]
        path.write_bytes(b"".join(magic) + content)
    else:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("a/data.pkl", content)
            archive.writestr("a/inner.pt", nested({"x": torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"a\.pt"):
        read(path)
    assert not harm.exists()


def test_a_program_beside_weights_is_refused_by_name(tmp_path, small):
    torch.save({"model": small, "a": Reduced(os.system, "true")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"asks to run (posix|nt)\.system when it is opened"):
        read(tmp_path / "a.pt")


def repacked(path, compression):
    """Write an archive's members again, as programs that pack folders do."""
    other = path.with_name("repacked.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return other


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_repacked_archive_is_read_rightly(tmp_path, small, compression):
    torch.save(small, tmp_path / "a.pt")
    found = read(repacked(tmp_path / "a.pt", compression))
    for name, value in small.items():
        torch.testing.assert_close(found.tensors[name].read(), value, rtol=0, atol=0)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_wrong_checksum_is_noticed(tmp_path, small, compression):
    torch.save(small, tmp_path / "a.pt")
    path = repacked(tmp_path / "a.pt", compression)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # within some tensor
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"repacked\.pt.* damaged"):
        vit.build(read(path), "mine", "cpu")


def test_a_file_without_checksums_is_read(tmp_path, small):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(small, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert vit.build(read(tmp_path / "a.pt"), "mine", "cpu").image_size == SMALL["image_size"]


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_that_changes_before_it_is_read_ends_in_a_sentence(tmp_path, small, form):
    path = tmp_path / "a.pt"
    if form == "safetensors":
        save_file({k: value.contiguous() for k, value in small.items()}, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=form == "zip")
    found = read(path)
    os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(ValueError, match="was changed while it was read"):
        vit.build(found, "mine", "cpu")
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        vit.build(found, "mine", "cpu")


def test_weights_that_share_a_storage_are_read(tmp_path, small):
    flat = torch.cat([value.reshape(-1) for value in small.values()])
    parts, start = {}, 0
    for name, value in small.items():
        parts[name] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    torch.save(parts, tmp_path / "a.pt")
    name = "image_encoder.blocks.1.attn.qkv.weight"
    parts[name] = small[name].T.contiguous().T  # columns first
    torch.save(parts, tmp_path / "b.pt")
    for path in (tmp_path / "a.pt", tmp_path / "b.pt"):
        found = read(path)
        assert torch.equal(found.tensors[name].read(), small[name])
        assert torch.equal(
            found.tensors["image_encoder.pos_embed"].read(), parts["image_encoder.pos_embed"]
        )


NAME = "image_encoder.pos_embed"
UNUSABLE = {
    "integers": (lambda v: v.int(), "int32"),
    "bool": (lambda v: v > 0, "bool"),
    "complex": (lambda v: v.to(torch.complex64), "complex64"),
    "bytes": (lambda v: v.byte(), "uint8"),
    "float8": (lambda v: v.to(torch.float8_e4m3fn), "type that is not read|float8"),
    "sparse": (lambda v: v.to_sparse(), "sparse|dense"),
    "rows": (lambda v: v.reshape(8, -1).to_sparse_csr(), "sparse|dense"),
    "meta": (lambda v: v.to("meta"), "without values|dense"),
    "quantised": (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "quantised|qint8"),
    "nested": (lambda v: torch.nested.nested_tensor([v[0, 0], v[0, 1]]), "nested"),
    "nan": (lambda v: torch.full_like(v, torch.nan), "NaN"),
    "inf": (lambda v: v / 0, "infinite"),
}


@pytest.mark.filterwarnings("ignore")  # of torch, about tensors that it calls prototypes
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_tensor_that_is_no_weight_is_named(tmp_path, small, kind):
    change, text = UNUSABLE[kind]
    weights = small | {NAME: change(small[NAME])}
    torch.save(weights, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"(?s){NAME} .*({text})"):
        vit.build(read(tmp_path / "a.pt"), "mine", "cpu")
    if kind not in ("nested", "rows"):  # whose shapes are no shapes of weights
        with pytest.raises(ValueError, match=rf"{NAME} .*({text})"):
            vit.build(recognise(weights), "mine", "cpu")


def test_damaged_files_are_refused(tmp_path, small):
    torch.save(small, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for name, content in {
        "half.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "page.pt": b"<html>404</html>",
        "noise.pt": os.urandom(500),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_flipped_bits_end_in_a_sentence(tmp_path, zipped):
    torch.save({"x": torch.arange(20.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "a.pt").read_bytes()
    rng = np.random.default_rng(0)
    for k in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + k % 3):
            broken[place] ^= 1 << rng.integers(8)
        (tmp_path / "b.pt").write_bytes(broken)
        with pytest.raises(ValueError, match=r"b\.pt"):  # no model, or damaged
            read(tmp_path / "b.pt")
    (tmp_path / "b.pt").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(ValueError, match=r"b\.pt"):
        read(tmp_path / "b.pt")


def test_a_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "program.pt")
    with pytest.raises(ValueError, match="TorchScript"):
        read(tmp_path / "program.pt")


def test_every_size_is_read_from_the_tensors(small):
    model = vit.build(recognise(small), "mine", "cpu")
    encoder = model.sam.image_encoder
    assert model.image_size == SMALL["image_size"]
    assert len(encoder.blocks) == SMALL["num_hidden_layers"]
    assert [block.window_size for block in encoder.blocks] == [3, 0, 3]
    assert encoder.blocks[0].attn.num_heads == SMALL["num_attention_heads"]
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in encoder.parameters())


@pytest.mark.parametrize(
    ("width", "depth", "heads", "whole"),
    [
        (768, 12, 12, (2, 5, 8, 11)),
        (1024, 24, 16, (5, 11, 17, 23)),
        (1280, 32, 16, (7, 15, 23, 31)),
    ],
    ids=["ViT-B", "ViT-L", "ViT-H"],
)
def test_the_published_sizes(width, depth, heads, whole):
    """Of tensors without memory: only their shapes count."""
    with torch.device("meta"):
        encoder = vit.ImageEncoderViT(
            embed_dim=width, depth=depth, num_heads=heads, mlp_dim=4 * width,
            global_attn_indexes=whole,
        )  # fmt: skip
    shapes = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert shapes["pos_embed"] == (1, 64, 64, width)
    assert shapes["blocks.0.attn.rel_pos_h"] == (27, width // heads)
    assert shapes[f"blocks.{whole[0]}.attn.rel_pos_w"] == (127, width // heads)
    assert shapes["neck.2.weight"] == (256, 256, 3, 3)
    counts = {768: 89_670_912, 1024: 308_278_272, 1280: 637_026_048}
    assert sum(p.numel() for p in encoder.parameters()) == counts[width]


def test_half_precision_becomes_float32_and_the_files_tensors_stay(small):
    half = {name: value.half() for name, value in small.items()}
    model = vit.build(recognise(half), "mine", "cpu")
    value = model.sam.image_encoder.pos_embed
    assert value.dtype == torch.float32
    own = vit.build(recognise(small), "mine", "cpu").sam.image_encoder.pos_embed
    own.data += 1
    assert not torch.equal(own, small["image_encoder.pos_embed"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: w.pop("image_encoder.blocks.1.mlp.lin2.bias"), "lacks image_encoder.blocks.1"),
        (lambda w: w.pop("image_encoder.pos_embed"), "lacks image_encoder.pos_embed"),
        (lambda w: w.update({"mask_decoder.more": torch.zeros(1)}), "besides mask_decoder.more"),
        (
            lambda w: w.update({"image_encoder.neck.1.bias": torch.zeros(7)}),
            r"neck\.1\.bias is \(7,\) in place of \(256,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(small, change, text):
    weights = dict(small)
    change(weights)
    with pytest.raises(ValueError, match=text):
        vit.build(recognise(weights), "mine", "cpu")


@pytest.fixture(scope="module")
def mobile(small):
    """A MobileSAM with a narrow encoder."""
    encoder = mobile_sam.TinyViT((8, 8, 8, 8), (1, 1, 1, 1), (2, 2, 2), num_classes=5)
    named = {f"image_encoder.{name}": value for name, value in encoder.state_dict().items()}
    return named | {name: v for name, v in small.items() if not name.startswith("image_encoder.")}


def misshapen(weights, rng):
    """Return weights of which a tensor has another shape, or one length is another everywhere."""
    name = str(rng.choice(sorted(weights)))
    shape = list(weights[name].shape)
    way = rng.integers(4)
    if way == 0:
        shape = shape[:-1] if rng.integers(2) else [*shape, 1]
    elif way == 1 and shape:
        place = rng.integers(len(shape))
        shape[place] = int(rng.choice([0, 1, shape[place] + 1, 2 * shape[place]]))
    elif way == 2:
        shape = rng.integers(0, 6, rng.integers(6)).tolist()
    elif shape:
        old, new = int(rng.choice(shape)), int(rng.choice([1, 3, 7, 40]))
        return {
            key: torch.zeros([new if side == old else side for side in value.shape])
            for key, value in weights.items()
        }
    return weights | {name: torch.zeros(shape)}


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("family", ["vit", "mobile_sam"])
def test_shapes_that_no_model_has_end_in_a_sentence(small, mobile, family):
    rng = np.random.default_rng(0)
    whole, module = (small, vit) if family == "vit" else (mobile, mobile_sam)
    messages = []
    for _ in range(25):
        try:
            module.build(recognise(misshapen(whole, rng)), "mine", "cpu")
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 15
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("image_encoder.patch_embed.proj.weight", (24, 1, 16, 16), r"\(width, 3, 16, 16\)"),
        ("image_encoder.patch_embed.proj.weight", (24, 3, 8, 8), r"\(width, 3, 16, 16\)"),
        ("image_encoder.pos_embed", (1, 64, 24), "must have 4 axes"),
        ("image_encoder.blocks.0.attn.rel_pos_h", (5, 7), "24 is no multiple of a head's 7"),
        ("image_encoder.neck.0.weight", (64, 24, 1, 1), "64 channels"),
        ("mask_decoder.mask_tokens.weight", (4, 12), "12, is no multiple of 8"),
        ("mask_decoder.mask_tokens.weight", (1, 256), "1 masks"),
    ],
)
def test_sizes_that_do_not_go_together_are_named(small, name, shape, text):
    with pytest.raises(ValueError, match=text):
        vit.build(recognise(small | {name: torch.zeros(shape)}), "mine", "cpu")


def test_a_model_of_volumes_is_refused(small):
    weights = dict(small)
    weights["image_encoder.patch_embed.proj.weight"] = torch.zeros(24, 1, 16, 16, 16)
    with pytest.raises(ValueError, match="only 2-D models"):
        vit.build(recognise(weights), "mine", "cpu")


def test_a_part_of_pocket_is_no_pocket(pocket):
    weights = pocket.model.pocket.state_dict()
    with pytest.raises(ValueError, match="no complete pocket model"):
        load_into(pocket.model.pocket, recognise(dict(list(weights.items())[:5])))
