"""Train a prompt encoder and mask decoder of SAM's size, so that exactness can be measured offline.

Random weights give no masks, and no published ones can be assumed at hand. An image encoder of
MobileSAM's or ViT-B's shape is therefore drawn from a fixed seed and frozen, images are encoded
once, and SAM's light half is trained on those embeddings. The result segments real images well
enough for everything mode; it is for comparing programs with each other, not for use.

`load` returns a model; the decoders (half precision) lie beside this script.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sources import load_sources
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.images.transforms import resize, scaled_size, to_rgb8
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.mobile_sam import TinyViT
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer
from napari_sam.models.vit import ImageEncoderViT
from napari_sam.models.weights import choose_dtype
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.training.losses import prompt_loss
from napari_sam.training.prompts import PromptBatch, corrected, first_prompts
from napari_sam.training.rng import DeviceRandom

ENCODERS = {"mobile_sam": partial(TinyViT, num_classes=0), "vit_b": ImageEncoderViT}
WEIGHTS = {
    "mobile_sam": Path(__file__).with_name("reference_decoder.safetensors"),
    "vit_b": Path(__file__).with_name("reference_decoder_vit_b.safetensors"),
}
ENCODER_SEED = 0
GAIN = 1.4  # of the drawn weights: the signal neither dies nor drowns on its way
CELLS = 32  # of the embedding's 64: a step sees a window, for speed
STRIDE = 16
IOU_WEIGHT = 5.0  # of the squared error of the predicted IoU
IMAGES = {"dsb2018": 90, "emps_particles": 16, "plant_em": 10, "axon_sem": 6, "usiigaci_phase": 16}
OTHERS = 5  # images of every other source


def draw_encoder(shape: str, seed: int = ENCODER_SEED) -> nn.Module:
    """Return an encoder of one of the `ENCODERS`, its every parameter drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    encoder: nn.Module = ENCODERS[shape]().eval()
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            drawn = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                scale = 1.0 if "biases" in name else GAIN / math.sqrt(value[0].numel())
                value.copy_(drawn * scale)
            else:
                value.copy_(0.1 * drawn + (0.0 if name.endswith("bias") else 1.0))
    return encoder


def new_sam(shape: str, seed: int = 0) -> Sam:
    """Return SAM's light half, not trained, behind the drawn encoder."""
    torch.manual_seed(seed)
    decoder = MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048))
    return Sam(draw_encoder(shape), PromptEncoder(256, (64, 64), (1024, 1024), 16), decoder)


def load(shape: str = "mobile_sam", device: str = "cpu") -> SamModel:
    """Return the trained model behind the contract of every family."""
    sam = new_sam(shape)
    read_into(sam, WEIGHTS[shape])
    return SamModel(sam, "reference", device)


def read_into(sam: Sam, path: Path) -> None:
    """Take a trained light half from a file."""
    light = {name: value.float() for name, value in load_file(path).items()}
    encoder = {f"image_encoder.{k}": v for k, v in sam.image_encoder.state_dict().items()}
    sam.load_state_dict(light | encoder)


@dataclass
class Embedded:
    """One image's embedding and its labels at the resolution of the logits.

    Attributes
    ----------
    embedding : (C, 64, 64) half
    labels : (256, 256) int32
    cells : [int, int]
        Rows and columns of the embedding that show the image.
    exhaustive : bool
    """

    embedding: Tensor
    labels: Tensor
    cells: list[int]
    exhaustive: bool


def embedded(model: SamModel, item: LabelledImage) -> Embedded:
    """Encode an image."""
    rgb = to_rgb8(item.image)
    size = scaled_size(rgb.shape[:2], 1024, math.inf)
    at = [
        ((np.arange(s // 4) + 0.5) * n / (s // 4)).astype(int)
        for s, n in zip(size, rgb.shape, strict=False)
    ]
    labels = torch.zeros(256, 256, dtype=torch.int32)
    labels[: size[0] // 4, : size[1] // 4] = torch.from_numpy(item.labels[np.ix_(*at)])
    cells = [min(64, -(-s // STRIDE)) for s in size]
    return Embedded(model.encode(resize(rgb, size))[0].half(), labels, cells, item.exhaustive)


def window(item: Embedded, objects: int, rng: np.random.Generator) -> tuple[Tensor, ...] | None:
    """Return (embedding (C, n, n), masks (P, 4n, 4n) bool, origin (x, y)) about some objects."""
    whole = item.labels.numpy()
    rows, columns = np.nonzero(whole)
    if not len(rows):
        return None
    k = rng.integers(len(rows))
    corner = []
    for place, cells in ((rows[k] // 4, item.cells[0]), (columns[k] // 4, item.cells[1])):
        low, high = max(0, place - CELLS + 1), min(place, max(0, cells - CELLS))
        corner.append(int(rng.integers(min(low, high), high + 1)))
    y, x = corner
    labels = whole[4 * y : 4 * (y + CELLS), 4 * x : 4 * (x + CELLS)]
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    numbers = numbers[counts >= 12]
    if not len(numbers):
        return None
    chosen = rng.choice(numbers, min(objects, len(numbers)), replace=False)
    masks = torch.from_numpy(np.stack([labels == number for number in chosen]))
    if item.exhaustive and (labels == 0).sum() > 500:  # a click beside every object finds nothing
        masks = torch.cat([masks, torch.from_numpy(labels == 0)[None]])
    embedding = item.embedding[:, y : y + CELLS, x : x + CELLS].float()
    return embedding, masks, torch.tensor([x, y]) * float(STRIDE)


def step(
    sam: Sam, item: Embedded, rng: np.random.Generator, draws: DeviceRandom
) -> tuple[Tensor, Tensor] | None:
    """Return the loss of two rounds of prompting on one window, and the IoU reached."""
    drawn = window(item, 7, rng)
    if drawn is None:
        return None
    embedding, masks, origin = drawn
    large = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    prompts = first_prompts(large, 4, draws, odds=0)
    beside = torch.tensor(
        [
            bool(item.exhaustive)
            and k == len(masks) - 1
            and bool(masks[k].sum() > 0.3 * masks[k].numel())
            for k in range(len(masks))
        ]
    )
    prompts.boxes[beside] = torch.nan
    truth = masks.float()
    truth[beside] = 0
    x, y = (origin / STRIDE).int().tolist()
    pe = sam.prompt_encoder.get_dense_pe()[..., y : y + CELLS, x : x + CELLS]
    total, first = torch.zeros(()), None
    has_box = ~prompts.boxes[:, 0].isnan()
    for form in (has_box, ~has_box):
        if not form.any():
            continue
        coords, labels = prompts.coords[form], prompts.labels[form]
        boxes = prompts.boxes[form] + origin.repeat(2) if form is has_box else None
        mask = None
        rounds = 2 if rng.random() < 0.4 else 1
        for turn in range(rounds):
            sparse, dense = sam.prompt_encoder(coords + origin, labels, boxes, mask)
            dense = dense[..., :CELLS, :CELLS]
            logits, iou = sam.mask_decoder(embedding[None], pe, sparse, dense)
            masked, _, best, reached = prompt_loss(logits.float(), iou.float(), truth[form])
            loss = masked.mean() + IOU_WEIGHT * F.mse_loss(iou.float(), reached)
            total = total + loss * form.float().mean() / rounds
            if turn == 0:
                inside = ~beside[form]
                first = reached[torch.arange(len(best)), best][inside] if first is None else first
            if turn + 1 < rounds:
                low = logits[torch.arange(len(best)), best].detach().float()
                given = PromptBatch(coords, labels, prompts.boxes[form], low)
                more = corrected(given, large[form] & ~beside[form][:, None, None], low, draws)
                coords, labels, mask = more.coords, more.labels, low[:, None]
    return total, first if first is not None else torch.zeros(0)


def main() -> None:
    """Encode, train for some minutes, write the half-precision decoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the state")
    parser.add_argument("--encoder", default="mobile_sam", choices=sorted(ENCODERS))
    parser.add_argument("--start", type=Path, help="a trained light half to go on from")
    parser.add_argument("--share", type=float, default=1.0, help="of the images")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    rng, draws = np.random.default_rng(0), DeviceRandom(0)
    sam = new_sam(args.encoder)
    if args.start:
        read_into(sam, args.start)
    model = SamModel(sam, "reference")
    cache = args.run / "embedded.pt"
    if cache.exists():
        items = [Embedded(**kept) for kept in torch.load(cache)]
    else:
        items = []
        if args.encoder == "vit_b":
            sam.image_encoder.set_precision(choose_dtype("auto", "cpu"))
        for source, images in load_sources(args.data, ["train"]).items():
            count = min(math.ceil(args.share * IMAGES.get(source, OTHERS)), len(images))
            picked = rng.choice(len(images), count, replace=False)
            items += [embedded(model, images[k]) for k in picked]
            print(source, count, flush=True)
        torch.save([vars(item) for item in items], cache)
    if not args.minutes:
        return
    sam.image_encoder.requires_grad_(False)
    sam.train()
    light = [p for p in sam.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(light, args.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    state, done = args.run / "state.pt", 0.0
    if state.exists():
        kept = torch.load(state)
        sam.load_state_dict(kept["sam"])
        optimiser.load_state_dict(kept["optimiser"])
        done = kept["minutes"]
    saved = time.monotonic()
    index, shown = 0, []
    while True:
        # the processor's time: the run may be halted while something else is timed
        minutes = done + time.process_time() / torch.get_num_threads() / 60
        share = min(1.0, minutes / args.minutes)
        rate = min(1.0, (index + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = args.learning_rate * rate
        with torch.autocast("cpu", torch.bfloat16):
            answer = step(sam, items[rng.integers(len(items))], rng, draws)
        if answer is None:
            continue
        loss, reached = answer
        loss.backward()
        nn.utils.clip_grad_norm_(light, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        index += 1
        shown += reached.tolist()
        if index % 50 == 0:
            print(
                f"{index} {minutes:.1f} min loss {loss.item():.3f} IoU {np.mean(shown):.3f}",
                flush=True,
            )
            shown = []
        if time.monotonic() - saved > 180 or share >= 1:
            saved = time.monotonic()
            kept = {
                "sam": sam.state_dict(),
                "optimiser": optimiser.state_dict(),
                "minutes": minutes,
            }
            torch.save(kept, state)
            write(sam, args.run / WEIGHTS[args.encoder].name)
        if share >= 1:
            break


def write(sam: nn.Module, path: Path) -> None:
    """Write the light half in half precision."""
    own = {k: v.half() for k, v in sam.state_dict().items() if not k.startswith("image_encoder.")}
    save_file(own, path)


if __name__ == "__main__":
    main()
