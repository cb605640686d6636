"""Whether a click in XY, XZ or YZ gives the same object wherever the stack lies in the window.

    python benchmarks/any_plane.py --stacks FOLDER

The folder holds pairs NAME.tif, NAME_labels.tif. An object of each stack is clicked in a real
window: as a plain array, and with a scale, a translation and a rotation. The answer is compared
with that in the same plane, resampled to square pixels by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam import Plane, PredictRequest, Prompts, SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.images.transforms import to_rgb8
from napari_sam.masks import middle_of
from napari_sam.widget.features.prompting.logic import Prompting
from napari_sam.widget.placement import world_transform

ANGLE = np.deg2rad(30)
TURNED = np.eye(4)
TURNED[1:3, 1:3] = [[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]]
PLACES: dict[str, dict] = {
    "plain": {},
    "scale (5, 0.1, 0.1)": {"scale": (5, 0.1, 0.1)},
    "scale and translate": {"scale": (2, 0.5, 0.5), "translate": (40, -30, 7)},
    "affine, 30 degrees": {"affine": TURNED},
}
ORDERS = {"XY": (0, 1, 2), "XZ": (1, 0, 2), "YZ": (2, 0, 1)}


def main() -> None:
    """Parse the command line, measure, print the overlaps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=Path, required=True)
    parser.add_argument("--only", default="*", help="pattern of the stacks' names")
    args = parser.parse_args()
    session = Session(SamPredictor(load_model("pocket")))
    window, rows = Window(), []
    window.open_dock()
    for path in sorted(args.stacks.glob(f"{args.only}_labels.tif")):
        name = path.stem.removesuffix("_labels")
        image, labels = tifffile.imread(path.with_name(f"{name}.tif")), tifffile.imread(path)
        for place, options in PLACES.items():
            window.viewer.layers.clear()
            window.rest(0.2)
            window.viewer.dims.order = (0, 1, 2)
            window.viewer.add_image(image, name=name, **options)
            overlaps = [clicked(window, session, labels, order) for order in ORDERS.values()]
            rows.append((name, place, *(f"{one:.3f}" for one in overlaps)))
    print(as_markdown([("stack", "place", *ORDERS), *rows]))


def clicked(
    window: Window, session: Session, labels: np.ndarray, order: tuple[int, int, int]
) -> float:
    """Return the overlap of the answer to a click with the answer by hand."""
    dock, dims, shown = window.dock, window.viewer.dims, list(order[1:])
    dims.order = order
    window.viewer.reset_view()
    window.settle()
    matrix = world_transform(dock.context.bench.frame.transform, dims).affine_matrix
    at = object_point(labels, order)
    dims.set_point(order[0], matrix[order[0], order[0]] * at[order[0]] + matrix[order[0], 3])
    window.settle()
    row, column = matrix[np.ix_(shown, shown)] @ at[shown] + matrix[shown, 3]
    window.viewer.layers.selection.active = dock.context.bench.prompts.points
    camera, canvas = window.viewer.camera, window.canvas
    x = canvas.width() / 2 + (column - camera.center[-1]) * camera.zoom
    y = canvas.height() / 2 + (row - camera.center[-2]) * camera.zoom
    asker = dock.feature(Prompting).asker
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    window.until(lambda: asker.shown is not None and asker.shown.objects)
    plane, (drawn,) = dock.context.shown(), dock.context.bench.prompts.points.data
    window.rest(0.2)
    found = np.asarray(dock.context.bench.prompts.preview.data).squeeze() > 0
    if shown[0] > shown[1]:
        found = found.T
    expected = by_hand(session, plane, drawn[shown])
    dock.feature(Prompting).clear()
    window.settle()
    return np.count_nonzero(found & expected) / np.count_nonzero(found | expected)


def object_point(labels: np.ndarray, order: tuple[int, int, int]) -> np.ndarray:
    """Return the middle (3,) of the largest object in the plane where it is largest."""
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    mask = labels == values[counts.argmax()]
    index = int(mask.sum(axis=order[1:] if order[0] == 0 else tuple(sorted(order[1:]))).argmax())
    outline = np.moveaxis(mask, order[0], 0)[index]
    x, y = middle_of(outline)
    at = np.zeros(3)
    at[order[0]], at[sorted(order[1:])] = index, (y, x)
    return at


def by_hand(session: Session, plane: Plane, point: np.ndarray) -> np.ndarray:
    """Return the answer (H, W) in a plane that was resampled to square pixels."""
    pixels = to_rgb8(plane.read())
    size = np.array(pixels.shape[:2])
    square = np.rint(size * plane.spacing / min(plane.spacing)).astype(int)
    resized = Image.fromarray(pixels).resize(square[::-1].tolist(), Image.Resampling.BILINEAR)
    factor = square / size
    y, x = (point + 0.5) * factor - 0.5
    answer = session.predict(PredictRequest(Plane(np.asarray(resized)), Prompts([[x, y]], [1])))
    mask = np.asarray(answer.masks[answer.best])
    rows, columns = (
        (np.arange(n) * f + f / 2).astype(int) for n, f in zip(size, factor, strict=True)
    )
    return mask[np.ix_(rows, columns)]


if __name__ == "__main__":
    main()
