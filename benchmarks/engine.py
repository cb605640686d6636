"""Time and memory against other programs on equal weights, side by side in one run.

The others are segment-anything 1.0 (`pip install --no-deps segment-anything`; what it takes from
torchvision is stubbed) and the SAM of transformers, whose masks are brought to the plane as its
processor does; its everything mode needs torchvision and is left out. micro-sam 1.8 is measured
where it is asked for (`--against micro-sam`) and installed. The weights are those of
`reference_decoder.py`: a ViT-B for encoding, a MobileSAM-shaped encoder for the rest, which times
the decoder alone. The programs take turns, and a figure is the ratio of their medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from amg_parity import official, partners
from reference_decoder import load
from skimage import data
from torch.nn import functional as F

from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.everything.amg_params import AmgParams
from napari_sam.images.transforms import resize, scale_points, scaled_size, to_rgb8
from napari_sam.masks import iou
from napari_sam.models.sam import SamModel
from napari_sam.predict.predictor import SamPredictor
from napari_sam.types import Prompts

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from another_sam import other, pixels, renamed
from stubs import stubbed_torchvision

with stubbed_torchvision():
    import segment_anything
    from segment_anything import modeling

FIGURES = ("encode", "click", "64 clicks", "everything")
PRECISIONS = ("float32", "bfloat16")
GRID = [(x, y) for y in range(30, 300, 36) for x in range(30, 380, 46)][:64]
"""Points of the picture asked at once."""
THRESHOLDS = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.3}
"""Of everything mode: the reference decoder's scores are low."""

Points = list[tuple[int, int]]


class Ours:
    """Our package around a model."""

    def __init__(self, model: SamModel, rgb: np.ndarray) -> None:
        self.predictor, self.rgb = SamPredictor(model), rgb
        self.best = np.zeros(0, int)
        """Which of the masks of each point would be shown."""

    def encode(self) -> Any:
        """Return the embedding of the picture."""
        return self.predictor.encode(self.rgb)

    def masks(self, embedding: Any, points: Points) -> np.ndarray:
        """Return the masks (P, 3, H, W) of points, each an object of its own."""
        prompts = [Prompts([point], [1]) for point in points]
        answers = self.predictor.predict_many(embedding, prompts)
        self.best = np.array([answer.best for answer in answers])
        return np.array([[np.asarray(mask) for mask in answer.masks] for answer in answers])

    def everything(self, side: int) -> np.ndarray:
        """Return the masks (N, H, W) of the grid generator."""
        params = AmgParams(points_per_side=side, **THRESHOLDS)
        records = AutomaticMaskGenerator(self.predictor, params).generate(self.rgb)
        return np.array([record.segmentation for record in records])


class SegmentAnything:
    """segment-anything 1.0."""

    def __init__(self, model: SamModel, rgb: np.ndarray) -> None:
        sam = official(model.sam)
        if hasattr(sam.image_encoder, "pos_embed"):
            sam.image_encoder = modeling.ImageEncoderViT(
                embed_dim=768, depth=12, num_heads=12, window_size=14, use_rel_pos=True,
                global_attn_indexes=(2, 5, 8, 11), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            ).eval()  # fmt: skip
            sam.image_encoder.load_state_dict(model.sam.image_encoder.state_dict())
        self.predictor, self.rgb = segment_anything.SamPredictor(sam), rgb

    def encode(self) -> Any:
        """Return the embedding of the picture."""
        self.predictor.set_image(self.rgb)

    def masks(self, embedding: Any, points: Points) -> np.ndarray:
        """Return the masks (P, 3, H, W) of points."""
        coords = self.predictor.transform.apply_coords_torch(
            torch.tensor(points, dtype=torch.float32)[:, None], self.rgb.shape[:2]
        )
        labels = torch.ones(len(points), 1, dtype=torch.int64)
        found: np.ndarray = self.predictor.predict_torch(coords, labels)[0].numpy()
        return found

    def everything(self, side: int) -> np.ndarray:
        """Return the masks (N, H, W) of the grid generator."""
        generator = segment_anything.SamAutomaticMaskGenerator(
            self.predictor.model, points_per_side=side, **THRESHOLDS
        )
        return np.array([r["segmentation"] for r in generator.generate(self.rgb)])


class Transformers:
    """The SAM of transformers."""

    def __init__(self, model: SamModel, rgb: np.ndarray) -> None:
        own = model.sam.state_dict()
        self.ours = model if "image_encoder.pos_embed" not in own else None
        vision = {"num_hidden_layers": 1, "global_attn_indexes": [0]} if self.ours else {}
        self.model = other.SamModel(other.SamConfig(vision_config=vision)).eval()
        state = self.model.state_dict()
        if self.ours is not None:  # its own encoder stays idle
            own = {name: value for name, value in own.items() if "image_encoder" not in name}
        self.model.load_state_dict({key: own.get(renamed(key), state[key]) for key in state})
        for module in self.model.mask_decoder.modules():  # the published code leaves the default
            if isinstance(module, torch.nn.LayerNorm) and not hasattr(module, "data_format"):
                module.eps = 1e-5
        self.rgb = rgb
        self.size = scaled_size(rgb.shape[:2], 1024, np.inf)

    def encode(self) -> Any:
        """Return the embedding of the picture."""
        rgb = resize(self.rgb, self.size)
        if self.ours is not None:
            return self.ours.encode(rgb)
        return self.model.get_image_embeddings(pixels(rgb, 1024))

    def masks(self, embedding: Any, points: Points) -> np.ndarray:
        """Return the masks (P, 3, H, W) of points."""
        places = scale_points(np.array(points), self.rgb.shape[:2], self.size)
        coords = torch.from_numpy(places).float()[None, :, None]
        low = self.model(image_embeddings=embedding, input_points=coords).pred_masks[0]
        large = F.interpolate(low, (1024, 1024), mode="bilinear")[
            ..., : self.size[0], : self.size[1]
        ]
        return (F.interpolate(large, self.rgb.shape[:2], mode="bilinear") > 0).numpy()


class MicroSam(SegmentAnything):
    """micro-sam, where it is installed; its decoder is that of segment-anything."""

    def __init__(self, model: SamModel, rgb: np.ndarray) -> None:
        super().__init__(model, rgb)
        with stubbed_torchvision():
            from micro_sam import instance_segmentation, prompt_based_segmentation
        self.segment_from_points = prompt_based_segmentation.segment_from_points
        self.generator = instance_segmentation.AutomaticMaskGenerator

    def masks(self, embedding: Any, points: Points) -> np.ndarray:
        """Return the masks (P, 3, H, W) of points, by what its annotator calls."""
        places, labels = np.array(points), np.ones(len(points), int)
        masks = [
            self.segment_from_points(
                self.predictor, place[None, ::-1], label[None], multimask_output=True,
                use_best_multimask=False,
            )
            for place, label in zip(places, labels, strict=True)
        ]  # fmt: skip
        return np.array(masks)

    def everything(self, side: int) -> np.ndarray:
        """Return the masks (N, H, W) of the grid generator."""
        generator = self.generator(self.predictor, points_per_side=side)
        generator.initialize(self.rgb)
        records = generator.generate(**THRESHOLDS, output_mode="binary_mask")
        return np.array([record["segmentation"] for record in records])


RIVALS = {"segment-anything": SegmentAnything, "transformers": Transformers, "micro-sam": MicroSam}
MISSING = {("transformers", "everything"), ("micro-sam", "64 clicks")}
"""The second gives one mask of each point where it takes many."""


def alternate(actions: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, float], dict]:
    """Let the programs take turns; return the median of each one's seconds, and its last answer."""
    times: dict[str, list[float]] = {side: [] for side in actions}
    answers: dict[str, Any] = {}
    for run in range(runs):
        for side in actions if run % 2 else reversed(actions):
            start = time.perf_counter()
            answers[side] = actions[side]()
            times[side].append(time.perf_counter() - start)
    return {side: float(np.median(taken)) for side, taken in times.items()}, answers


def likeness(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return mean and least IoU of masks (..., H, W) with their counterparts."""
    pairs = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    values = [iou(one, other) for one, other in pairs]
    return {"mean IoU": round(float(np.mean(values)), 4), "least IoU": round(min(values), 4)}


def parts(exact: Ours, embedding: Any, answers: dict[str, Any], precision: str) -> dict[str, float]:
    """Return the mean IoU of the masks shown alone, and with the decoder in float32."""
    theirs = answers["theirs"]
    decoded = exact.masks(embedding, GRID)
    place = np.arange(len(GRID)), exact.best
    return {
        "mean IoU, mask shown": likeness(answers[precision][place], theirs[place])["mean IoU"],
        "mean IoU, only the encoder": likeness(decoded, theirs)["mean IoU"],
    }


def shared(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return how many masks there are, and how many have a partner of IoU 0.95."""
    share = [float((partners(*pair) >= 0.95).mean()) for pair in ((a, b), (b, a))]
    return {"masks ours": len(a), "masks theirs": len(b), "partners": round(min(share), 4)}


def peak(side: str, rival: str, points: int) -> float:
    """Return how much everything mode adds to the memory of a process of its own, MB."""
    command = [sys.executable, __file__, "--peak", side, "--points-per-side", str(points)]
    command += ["--against", rival]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def grown(action: Callable[[], Any]) -> float:
    """Return by how much the memory of this process rises at most during an action, MB."""
    process, over = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    action()
    over.set()
    watcher.join()
    return (most - before) / 1e6


def programs(shape: str, rival: str) -> dict[str, Any]:
    """Return ours, by precision, and theirs around one model and one picture."""
    rgb = to_rgb8(data.coins())
    ours = {}
    for precision in PRECISIONS:
        model = load(shape)
        model.set_precision(precision)
        ours[precision] = Ours(model, rgb)
    return {**ours, "theirs": RIVALS[rival](load(shape), rgb)}


def measure(figure: str, rival: str, runs: int, points: int) -> dict[str, dict[str, Any]]:
    """Return one figure in each precision."""
    sides = programs("vit_b" if figure == "encode" else "mobile_sam", rival)
    memory: dict[str, float] = {}
    alike: Callable[[np.ndarray, np.ndarray], dict[str, float]] = likeness
    if figure == "encode":
        seconds, made = alternate({name: side.encode for name, side in sides.items()}, runs)
        answers = {name: side.masks(made[name], GRID) for name, side in sides.items()}
    elif figure == "everything":
        actions = {name: partial(side.everything, points) for name, side in sides.items()}
        seconds, answers = alternate(actions, runs)
        memory = {name: peak(name, rival, points) for name in sides}
        alike = shared
    else:
        asked = GRID[:1] if figure == "click" else GRID
        actions = {name: partial(side.masks, side.encode(), asked) for name, side in sides.items()}
        for action in actions.values():
            action()  # to get ready
        seconds, answers = alternate(actions, runs)
    found: dict[str, dict[str, Any]] = {}
    for precision in PRECISIONS:
        pair = {"ours": seconds[precision], "theirs": seconds["theirs"]}
        found[precision] = {"ratio": round(pair["ours"] / pair["theirs"], 3)}
        found[precision] |= {f"seconds {name}": round(value, 4) for name, value in pair.items()}
        if memory:
            ours, theirs = memory[precision], memory["theirs"]
            found[precision] |= {"memory ratio": round(ours / theirs, 3)}
            found[precision] |= {"MB ours": ours, "MB theirs": theirs}
        found[precision] |= alike(answers[precision], answers["theirs"])
        if figure == "encode":
            found[precision] |= parts(sides["float32"], made[precision], answers, precision)
    return found


def main() -> None:
    """Measure the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", nargs="*", default=FIGURES, choices=FIGURES)
    usual = ("segment-anything", "transformers")
    parser.add_argument("--against", nargs="*", default=usual, choices=sorted(RIVALS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--peak", choices=(*PRECISIONS, "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="a file that the figures are added to")
    args = parser.parse_args()
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    with torch.inference_mode():
        if args.peak:
            program = programs("mobile_sam", args.against[0])[args.peak]
            print(round(grown(partial(program.everything, args.points_per_side))))
            return
        for rival, figure in product(args.against, args.figures):
            if (rival, figure) in MISSING:
                continue
            found = measure(figure, rival, args.runs, args.points_per_side)
            for precision, values in found.items():
                print(rival, figure, precision, values, flush=True)
                if args.json:
                    kept = json.loads(args.json.read_text()) if args.json.exists() else {}
                    kept |= {"machine": f"{platform.machine()}, {torch.get_num_threads()} cores"}
                    kept[f"{rival}: {figure}, {precision}"] = values | {"runs": args.runs}
                    args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
