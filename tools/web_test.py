"""Test the page of examples/web in a real browser against Python's answers; see `make web-test`.

Usage: python tools/web_test.py [PICTURE.png], which gets a picture of the page.

It ends with an error if a mask differs, or the page reports one. Times are printed only: they
depend on what else the machine does.
"""

# ruff: noqa: T201

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from browser import Browser
from numpy.typing import NDArray
from PIL import Image

from napari_sam import Prompts, SamPredictor, load_model

WEB = Path(__file__).resolve().parents[1] / "examples" / "web"
MODEL = WEB / "models" / "pocket"
sys.path.insert(0, str(WEB))
from serve import server  # noqa: E402

LEAST_IOU = 0.98
"""Of a mask of the page with Python's."""
FIRST_MASK, HOVERS = 3.0, 15.0
"""Goals: seconds from navigation to the first mask, and masks under the pointer per second."""
HOVER_SECONDS = 3.0
LISTEN = """
window.seen = [];
document.addEventListener(
  "answer", ({detail}) => seen.push({...detail, at: performance.now()}), true
);
"""
MASK = """(() => {
  const {width, height} = document.getElementById("mask");
  const {data} = document.getElementById("mask").getContext("2d").getImageData(0, 0, width, height);
  const bits = Array.from({length: width * height}, (_, i) => data[4 * i + 3] ? 1 : 0);
  return {width, height, bits: bits.join("")};
})()"""
Point = tuple[float, float, int]

CASES: dict[str, dict[str, Any]] = {
    "click": {"points": [(101, 108, 1)]},
    "click on a pale object": {"points": [(162, 102, 1)]},
    "click at the edge": {"points": [(5, 158, 1)]},
    "click on one of two that touch": {"points": [(160, 186, 1)]},
    "click, then one beside it": {"points": [(160, 186, 1), (186, 196, 0)]},
    "two clicks, then one beside them": {"points": [(160, 186, 1), (186, 196, 1), (190, 172, 0)]},
    "box": {"box": (258, 84, 302, 122)},
    "large box": {"box": (60, 10, 250, 200)},
    "box, then a click beside it": {"box": (140, 165, 202, 212), "points": [(186, 196, 0)]},
}
"""What is drawn on the sample, in its pixels: a box first, then points (x, y, label)."""


class Page:
    """The page in a browser; places are (x, y) in pixels of the picture that it shows."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        browser.open(address)
        browser.wait("document.getElementById('stage')?.style.getPropertyValue('--width')")

    def on_screen(self, place: tuple[float, float]) -> tuple[float, float]:
        """Return where a place is on the page."""
        left, top, wide, high, w, h = self.browser.evaluate(
            """(() => {
              const box = document.getElementById("stage").getBoundingClientRect();
              const {width, height} = document.getElementById("picture");
              return [box.left, box.top, box.width, box.height, width, height];
            })()"""
        )
        return left + (place[0] + 0.5) * wide / w, top + (place[1] + 0.5) * high / h

    def click(self, x: float, y: float, label: int) -> None:
        """Click on the object, or beside it."""
        place, button = self.on_screen((x, y)), "left" if label else "right"
        self.browser.press(place, button)
        self.browser.release(place, button)

    def drag(self, box: tuple[float, float, float, float]) -> None:
        """Drag a box."""
        start, end = self.on_screen(box[:2]), self.on_screen(box[2:])
        self.browser.press(start)
        for part in (0.3, 0.7, 1.0):
            between = tuple(a + part * (b - a) for a, b in zip(start, end, strict=True))
            self.browser.move((between[0], between[1]), "left")
        self.browser.release(end)

    def answers(self, hovered: bool = False) -> list[dict[str, Any]]:
        """Return the answers so far, of clicks or of the pointer."""
        every = self.browser.evaluate("seen")
        return [answer for answer in every if answer["hovered"] == hovered]

    def after(self, act: Callable[[], None]) -> dict[str, Any]:
        """Do something, and return the answer to it."""
        count = len(self.answers())
        act()
        try:
            self.browser.wait(f"seen.filter((answer) => !answer.hovered).length > {count}")
        except RuntimeError as error:
            raise RuntimeError(f"{error}; the page says: {self.status()}") from error
        return self.answers()[-1]

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask that is shown, (H, W)."""
        shown = self.browser.evaluate(MASK)
        bits = np.frombuffer(shown["bits"].encode(), np.uint8) == ord("1")
        return bits.reshape(shown["height"], shown["width"])

    def status(self) -> str:
        """Return what the status line says."""
        text: str = self.browser.evaluate("document.getElementById('status').textContent")
        return text


def python_mask(
    predictor: SamPredictor,
    embedding: Any,
    points: list[Point],
    box: tuple[float, float, float, float] | None,
) -> NDArray[np.bool_]:
    """Return the answer of a predictor to prompts that come one after another, (H, W)."""
    steps = [0] if box else []
    steps += range(1, len(points) + 1)
    earlier = None
    for count in steps:
        prompts = Prompts(
            point_coords=[(x, y) for x, y, _ in points[:count]],
            point_labels=[label for *_, label in points[:count]],
            box=box,
            mask_input=earlier,
        )
        prediction = predictor.predict(embedding, prompts)
        earlier = prediction.logits(prediction.best)
    return np.asarray(prediction.masks[prediction.best])


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the IoU of two masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def compare(page: Page) -> list[str]:
    """Draw every case, and return what is wrong."""
    plane = np.asarray(Image.open(WEB / "sample.png"))
    predictors = [SamPredictor(load_model(name)) for name in (str(MODEL), "pocket")]
    embeddings = [predictor.encode(plane) for predictor in predictors]
    wrong = []
    print(f"{'case':34} pixels  IoU: exported, torch  page's answer")
    for name, case in CASES.items():
        points, box = case.get("points", []), case.get("box")
        page.browser.key("Escape")
        if page.mask().any():
            wrong.append(f"{name}: Escape has not cleared the mask")
        if box:
            answer = page.after(lambda box=box: page.drag(box))
        for point in points:
            answer = page.after(lambda point=point: page.click(*point))
        mask = page.mask()
        ious = [
            overlap(mask, python_mask(predictor, embedding, points, box))
            for predictor, embedding in zip(predictors, embeddings, strict=True)
        ]
        print(
            f"{name:34} {mask.sum():6}  {ious[0]:.4f}, {ious[1]:.4f}         "
            f"{answer['milliseconds']:.0f} ms"
        )
        if min(ious) < LEAST_IOU:
            wrong.append(f"{name}: the masks' IoU is {min(ious):.4f}")
    return wrong


def check_undo(page: Page) -> list[str]:
    """Take a step back; return what is wrong."""
    page.browser.key("Escape")
    page.after(lambda: page.click(160, 186, 1))
    before = page.mask()
    page.after(lambda: page.click(186, 196, 1))
    if (page.mask() == before).all():
        return ["a second click has not changed the mask"]
    page.browser.key("u")
    return [] if (page.mask() == before).all() else ["U has not taken the last click back"]


def hovers_per_second(page: Page) -> float:
    """Move the pointer on for a while; return how many masks are shown in a second."""
    page.browser.key("Escape")
    places = [
        page.on_screen((20 + 280 * t, 120 + 90 * np.sin(9 * t))) for t in np.linspace(0, 1, 180)
    ]
    before = len(page.answers(hovered=True))
    start = time.monotonic()
    for step, place in enumerate(places):
        page.browser.move(place)
        time.sleep(max(0.0, start + HOVER_SECONDS * step / len(places) - time.monotonic()))
    return (len(page.answers(hovered=True)) - before) / (time.monotonic() - start)


def goal(name: str, figure: float, unit: str, reached: bool, wanted: str) -> None:
    """Print a figure beside its goal."""
    print(f"{name}: {figure:.2f} {unit} (goal {wanted}: {'reached' if reached else 'missed'})")


def main() -> None:
    """Run every check; end with what is wrong."""
    serving = server()
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    address = f"http://localhost:{serving.server_port}/"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    try:
        browser = Browser()
    except ValueError as error:
        sys.exit(str(error))
    with browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        page = Page(browser, address)
        first = page.after(lambda: page.click(101, 108, 1))
        seconds = first["at"] / 1000
        goal(
            "navigation to first mask", seconds, "s", seconds <= FIRST_MASK, f"<= {FIRST_MASK:g} s"
        )
        for name in ("loaded", "encoded"):
            print(f"  {name}: {browser.evaluate(f'document.getElementById({name!r}).value')}")
        wrong = compare(page) + check_undo(page)
        if not browser.evaluate("crossOriginIsolated"):
            wrong.append("the page is not isolated, so it has one thread only")
        rate = hovers_per_second(page)
        goal("masks under the pointer", rate, "/s", rate >= HOVERS, f">= {HOVERS:g} /s")
        browser.wait(
            "navigator.serviceWorker.ready.then((ready) => ready.active.state === 'activated')"
        )
        page.after(lambda: page.click(101, 108, 1))
        mask = page.mask()
        if len(sys.argv) > 1:
            browser.picture(Path(sys.argv[1]))
        serving.shutdown()
        serving.server_close()
        page = Page(browser, address)
        first = page.after(lambda: page.click(101, 108, 1))
        print(f"without the server: first mask after {first['at'] / 1000:.2f} s")
        if not (page.mask() == mask).all():
            wrong.append("without the server the mask is another one")
        wrong += browser.errors
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
