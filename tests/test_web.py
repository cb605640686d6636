"""The page of examples/web, as far as no browser is needed; `make web-test` opens it in one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_sam import masks
from napari_sam.images.transforms import resize, scaled_size, to_rgb8
from napari_sam.models import pocket_windows as windows
from napari_sam.predict.upsampling import Upsampler
from napari_sam.types import Mask

WEB = Path(__file__).parents[1] / "examples" / "web"
sys.path.insert(0, str(WEB))
from serve import HEADERS, server  # noqa: E402

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run_js(module: str, body: str, given: object):
    """Return what the body of a function returns in Node.js; `js` is a module, `given` a value."""
    script = f"""
        import * as js from {json.dumps((WEB / module).as_uri())};
        import {{ readFileSync }} from "node:fs";
        const plain = (_, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
        const answer = ((given) => {{ {body} }})(JSON.parse(readFileSync(0)));
        console.log(JSON.stringify(await answer, plain));
    """
    answer = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@needs_node
@pytest.mark.parametrize("size", [(303, 384), (64, 37), (700, 1200), (1, 5), (512, 512)])
def test_resized_as_in_python(size):
    rgb = noise((*size, 3))
    target = scaled_size(size, 512, 4.0)
    found = run_js(
        "image.js",
        """
        const to = js.scaledSize(given.height, given.width, 512, 4);
        return {...to, data: js.resize(Uint8Array.from(given.rgb), given, to)};
        """,
        {"height": size[0], "width": size[1], "rgb": rgb.ravel().tolist()},
    )
    assert (found["height"], found["width"]) == target
    np.testing.assert_array_equal(np.reshape(found["data"], (*target, 3)), resize(rgb, target))


@needs_node
def test_grey_is_stretched_and_colours_are_not():
    grey = np.clip(np.random.default_rng(1).normal(60, 15, (80, 90)), 0, 255).astype(np.uint8)
    grey = np.sort(grey, axis=1)  # neighbours are alike: no noise
    colours = noise((80, 90, 3))
    pictures = [np.dstack([grey] * 3), colours]
    rgba = [np.dstack([one, np.full((80, 90), 255)]).ravel().tolist() for one in pictures]
    found = run_js("image.js", "return given.map((one) => js.toRgb(Uint8Array.from(one)));", rgba)
    np.testing.assert_array_equal(np.reshape(found[0], (80, 90, 3)), to_rgb8(grey))
    np.testing.assert_array_equal(np.reshape(found[1], (80, 90, 3)), colours)


def random_prompts(count, frame, seed=0):
    """Return prompts of every form as the page has them: points, a box, a mask."""
    rng = np.random.default_rng(seed)
    h, w = frame
    found = []
    for _ in range(count):
        spread = rng.choice([20, 150, 400])
        middle = rng.uniform(0, 1, 2) * (w, h)
        places = np.clip(middle + rng.uniform(-0.5, 0.5, (4, 2)) * spread, 0, (w - 1, h - 1))
        places = places.astype(np.float32)
        labels = rng.integers(0, 2, 4)
        number = rng.integers(0, 5)
        box = [*places[:2].min(axis=0), *places[:2].max(axis=0)] if rng.random() < 0.5 else None
        mask = None
        if rng.random() < 0.5:
            mask = np.full((h // 4, w // 4), -1, np.float32)
            x, y = (places[0] // 4).astype(int)
            mask[y : y + rng.integers(0, 30), x : x + 20] = rng.normal(3, 1)
        found.append((places[:number], labels[:number], box, mask))
    return found


def edge_cases():
    """Return boxes about the largest that fits into a window, and points about a window's edge."""
    none = np.zeros((0, 2), np.float32), np.zeros(0, int)
    boxes = [(*none, [10.0, 10.0, 10.0 + side, 60.0], None) for side in (175, 176, 177)]
    edges = np.float32([[200, 200], [63.4, 200], [63.6, 200], [200, 319.4], [200, 319.6]])
    return [*boxes, (edges, np.array([1, 0, 0, 0, 0]), None, None)]


def as_batch(points, labels, box, mask):
    if not len(points):
        points, labels = np.zeros((1, 2), np.float32), np.array([-1])
    return windows.PromptBatch(
        points[None].astype(np.float32),
        labels[None].astype(np.int64),
        None if box is None else np.float32([box]),
        None if mask is None else mask[None],
    )


def same_prompt(found, batch):
    points = np.reshape(found["points"], (-1, 3))
    np.testing.assert_allclose(points[:, :2], batch.coords[0], atol=1e-4)
    np.testing.assert_array_equal(points[:, 2], batch.labels[0])
    for name, given in (("box", batch.boxes), ("mask", batch.mask_input)):
        if given is None:
            assert found[name] is None
        elif name == "box":
            np.testing.assert_allclose(found["box"], given[0], atol=1e-4)
        else:
            size = found["mask"]["height"], found["mask"]["width"]
            np.testing.assert_allclose(np.reshape(found["mask"]["data"], size), given[0], atol=1e-5)


@needs_node
@pytest.mark.parametrize("frame", [(512, 512), (416, 512), (512, 96), (192, 256)])
def test_windows_are_those_of_python(frame):
    prompts = random_prompts(60, frame) + edge_cases()
    half = tuple(-(-side // 64) * 8 for side in frame)  # cells; padded to 32 pixels
    given = []
    for points, labels, box, mask in prompts:
        page_points = [[*map(float, p), int(k)] for p, k in zip(points, labels, strict=True)]
        page_mask = mask is not None and {
            "data": mask.ravel().tolist(), "height": mask.shape[0], "width": mask.shape[1],
        }  # fmt: skip
        page_box = box and [float(at) for at in box]
        given.append({"points": page_points or [[0, 0, -1]], "box": page_box, "mask": page_mask})
    found = run_js(
        "windows.js",
        """
        const {frame, half} = given;
        return given.prompts.map((prompt) => {
          prompt.mask = prompt.mask && {...prompt.mask, data: Float32Array.from(prompt.mask.data)};
          prompt.mask ||= null;
          const extent = js.findExtent(prompt);
          const scales = js.chooseScales(prompt, extent, Math.max(frame.height, frame.width));
          const near = js.inWindow(prompt, extent, frame);
          return {extent, scales, near, far: js.atHalf(prompt, half)};
        });
        """,
        {
            "prompts": given,
            "frame": {"height": frame[0], "width": frame[1]},
            "half": {"height": half[0], "width": half[1]},
        },
    )
    kinds = set()
    for page, one in zip(found, prompts, strict=True):
        batch = as_batch(*one)
        extent = windows.find_extent(batch)
        np.testing.assert_allclose(page["extent"]["low"], extent[0][0], atol=1e-4)
        np.testing.assert_allclose(page["extent"]["high"], extent[1][0], atol=1e-4)
        near, far = windows.choose_scales(batch, extent, max(frame))
        assert page["scales"] == {"near": bool(near[0]), "far": bool(far[0])}
        kinds.add((bool(near[0]), bool(far[0])))
        placed = windows.in_windows(batch, extent, frame)
        assert page["near"]["start"] == placed.starts[0].tolist()
        assert page["near"]["size"] == placed.size.tolist()
        same_prompt(page["near"]["prompt"], placed.prompts)
        same_prompt(page["far"]["prompt"], windows.at_half(batch, half).prompts)
    assert len(kinds) > 1


@needs_node
def test_logits_are_put_together_as_in_python():
    rng = np.random.default_rng(3)
    grid, half = (104, 128), (56, 64)
    near, far = (rng.normal(size=size).astype(np.float32) for size in ((64, 64), half))
    found = run_js(
        "windows.js",
        """
        const [grid, half] = [{height: 104, width: 128}, {height: 56, width: 64}];
        const placed = {start: [64, 32], size: [256, 256]};
        const [near, far] = [given.near, given.far].map((data) => Float32Array.from(data));
        return [js.fromWindow(near, placed, grid).data, js.fromHalf(far, half, grid).data];
        """,
        {"near": near.ravel().tolist(), "far": far.ravel().tolist()},
    )
    whole = np.full(grid, windows.OUTSIDE, np.float32)
    whole[8:72, 16:80] = near
    np.testing.assert_array_equal(np.reshape(found[0], grid), whole)
    double = torch.nn.functional.interpolate(
        torch.from_numpy(far)[None, None], scale_factor=2, mode="bilinear"
    )[0, 0, :104, :128]
    np.testing.assert_allclose(np.reshape(found[1], grid), double.numpy(), atol=1e-5)


def blobs(size, seed):
    """Return logits with several pieces and holes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    logits = np.full(size, -2.0)
    for sign in (1, 1, 1, 1, -1, -1, -1):
        place, radius = rng.uniform(0.15, 0.85, 2) * size, rng.uniform(1.5, size[0] / 6)
        near = np.hypot(y - place[0], x - place[1]) < radius
        logits[near] = sign * rng.uniform(0.5, 3)
    return logits.astype(np.float32)


@needs_node
@pytest.mark.parametrize(
    ("cells", "inner", "size"),
    [
        ((104, 128), (404, 512), (303, 384)),
        ((64, 32), (256, 100), (64, 25)),
        ((64, 64), (180, 256), (720, 1024)),
        ((256, 256), (768, 1024), (240, 320)),
    ],
)
def test_masks_are_those_of_python(cells, inner, size):
    for seed in range(3):
        logits = blobs(cells, seed)
        padded = (4 * cells[0], 4 * cells[1])
        fine = Upsampler.between(cells, padded, inner, size)(logits) > 0
        inside = np.argwhere(fine)
        points = [[*inside[len(inside) // 2][::-1].tolist(), 1]] if seed else []
        found = run_js(
            "masks.js",
            """
            const logits = {...given.logits, data: Float32Array.from(given.logits.data)};
            const mask = js.maskOf(logits, given.input, given.picture);
            return [mask, js.tidied(mask, given.points)];
            """,
            {
                "logits": {
                    "data": logits.ravel().tolist(), "height": cells[0], "width": cells[1],
                },
                "input": {"height": inner[0], "width": inner[1]},
                "picture": {"height": size[0], "width": size[1]},
                "points": points,
            },
        )  # fmt: skip
        plain, tidy = (whole_mask(one, size) for one in found)
        assert (plain != fine).mean() < 1e-4  # a value at the threshold may be rounded otherwise
        labelled = np.reshape(points, (-1, 3))
        wanted = masks.tidied(Mask.of(plain, (0, 0), size), labelled[:, :2], labelled[:, 2])
        np.testing.assert_array_equal(tidy, np.asarray(wanted))
    assert run_js("masks.js", "return js.maskOf(given, given, given);", EMPTY) is None


@needs_node
def test_small_holes_are_filled():
    bits = np.ones((42, 50), np.uint8)
    bits[5:10, 5:13] = 0  # 40 pixels, just below a fiftieth of the rest
    bits[20:25, 5:14] = 0  # 45
    bits[30:32, 30:35] = 0  # 10, with a background point in it
    given = {"x": 3, "y": 2, "width": 50, "height": 42, "bits": bits.ravel().tolist()}
    points = [[10, 30, 1], [35, 33, 0]]
    body = "return js.tidied({...given[0], bits: Uint8Array.from(given[0].bits)}, given[1]);"
    found = whole_mask(run_js("masks.js", body, [given, points]), (60, 70))
    mask = Mask.of(bits.astype(bool), (3, 2), (60, 70))
    wanted = np.asarray(masks.tidied(mask, np.array(points)[:, :2], np.array(points)[:, 2]))
    assert wanted.sum() == bits.sum() + 40
    np.testing.assert_array_equal(found, wanted)


EMPTY = {"data": [-1.0] * 4, "height": 2, "width": 2}


def whole_mask(found, size):
    whole = np.zeros(size, bool)
    rows = slice(found["y"], found["y"] + found["height"])
    columns = slice(found["x"], found["x"] + found["width"])
    whole[rows, columns] = np.reshape(found["bits"], (found["height"], found["width"]))
    return whole


SAM = """
    class Tensor {
      constructor(type, data, dims) { Object.assign(this, {type, data, dims}); }
    }
    const masks = new Float32Array(4 * 64).map((_, i) => Math.floor(i / 64));
    const fed = [];
    const decoder = { run: async (feeds) => {
      fed.push(feeds);
      return {
        iou_predictions: {data: Float32Array.of(0.9, 0.2, 0.7, 0.3)},
        low_res_masks: {data: masks},
      };
    }};
    const sam = new js.Sam({Tensor}, null, decoder);
    const embedding = {dims: [1, 8, 2, 2]};
    const mask = {data: new Float32Array(64).fill(5), height: 8, width: 8};
    const points = [[3, 4, 1], [5, 6, 0]];
    const ask = (prompt, several) => sam.answer(embedding, prompt, several);
    return Promise.all([
      ask({points: points.slice(0, 1), box: null, mask: null}, true),
      ask({points, box: [1, 2, 7, 8], mask}, false),
    ]).then((answers) => ({fed, answers}));
"""


@needs_node
def test_published_decoder_gets_the_published_inputs():
    found = run_js("sam.js", SAM, None)
    click, box = found["fed"]
    assert click["point_coords"] == {"type": "float32", "data": [3, 4, 0, 0], "dims": [1, 2, 2]}
    assert click["point_labels"] == {"type": "float32", "data": [1, -1], "dims": [1, 2]}
    assert click["has_mask_input"]["data"] == [0]
    assert click["mask_input"]["dims"] == [1, 1, 8, 8]
    assert box["point_coords"]["data"] == [3, 4, 5, 6, 1, 2, 7, 8]
    assert box["point_labels"]["data"] == [1, 0, 2, 3]
    assert (box["has_mask_input"]["data"], box["mask_input"]["data"][0]) == ([1], 5)
    assert set(box) == {
        "image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input",
        "orig_im_size",
    }  # fmt: skip
    several, one = found["answers"]
    assert (several["logits"]["data"], one["logits"]["data"]) == ([2.0] * 64, [0.0] * 64)
    assert (several["iou"], one["iou"]) == pytest.approx((0.7, 0.9))


def test_files_are_served_with_the_headers_that_threads_need(tmp_path):
    for name in ("index.html", "a.mjs", "a.wasm"):
        (tmp_path / name).write_bytes(b"1234")
    (tmp_path.parent / "secret").write_text("secret")
    serving = server(0, tmp_path)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        connection = HTTPConnection(*serving.server_address, timeout=30)
        for path, kind in (("/", "text/html"), ("/a.mjs", "text/javascript"),
                           ("/a.wasm", "application/wasm")):  # fmt: skip
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"1234")
            assert answer.getheader("Content-Type").startswith(kind)
            for name, value in HEADERS.items():
                assert answer.getheader(name) == value
        connection.request("GET", "/../secret")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404
        connection.close()
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


def test_every_file_that_the_page_needs_is_kept_for_work_without_a_network():
    kept = re.findall(r'^  "(.+)",$', (WEB / "sw.js").read_text(), re.MULTILINE)
    modules = {path.name for path in WEB.glob("*.js")} - {"sw.js"}
    assert modules | {"./", "style.css", "sample.png"} == {
        name for name in kept if not name.startswith("vendor/")
    }
    copied = re.findall(r'^  "(.+)",', (WEB / "vendor.mjs").read_text(), re.MULTILINE)
    assert {name for name in kept if name.startswith("vendor/")} <= {f"vendor/{n}" for n in copied}


def test_versions_are_exact_and_no_registry_is_named():
    package = json.loads((WEB / "package.json").read_text())
    assert all(re.fullmatch(r"[\d.]+", version) for version in package["dependencies"].values())
    assert "resolved" not in (WEB / "package-lock.json").read_text()


def test_sample_is_a_grey_picture():
    assert Image.open(WEB / "sample.png").mode == "L"
