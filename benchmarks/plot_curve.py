"""Draw the training curve (CSV of benchmarks/train_pocket.py) as an SVG picture."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 320, 40
SERIES = (("first prompt", 3, "#0072b2"), ("after the corrections", 4, "#d55e00"))


def main() -> None:
    """Read the curve, smooth it over five rows, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curve", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    with open(args.curve, newline="") as file:
        rows = [[float(v) for v in row] for row in csv.reader(file)]
    last = max(row[0] for row in rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for tenth in range(0, 11, 2):
        y = place(0, tenth / 10, last)[1]
        parts.append(f'<path d="M{MARGIN} {y}H{WIDTH - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y + 4}" font-size="12">{tenth / 10:.1f}</text>')
    for name, column, colour in SERIES:
        points = []
        for k in range(4, len(rows)):
            mean = sum(row[column] for row in rows[k - 4 : k + 1]) / 5
            points.append("{:.1f},{:.1f}".format(*place(rows[k][0], mean, last)))
        line = " ".join(points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = HEIGHT - 88 + 18 * column
        parts.append(f'<text x="{WIDTH - 200}" y="{y - 40}" fill="{colour}">{name}</text>')
    caption = f"mean IoU on training crops, {int(last)} steps"
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 8}" font-size="13">{caption}</text></svg>')
    args.picture.write_text("\n".join(parts))


def place(step: float, iou: float, last: float) -> tuple[float, float]:
    """Return where a value lies in the picture."""
    x = MARGIN + step / last * (WIDTH - MARGIN - 10)
    return x, HEIGHT - MARGIN - iou * (HEIGHT - MARGIN - 10)


if __name__ == "__main__":
    main()
