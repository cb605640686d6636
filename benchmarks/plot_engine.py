"""Draw the ratios of `engine.py` (our time over the other program's) as an SVG picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results") / "engine.json"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "engine.svg"
COLOURS = {"float32": "#56b4e9", "bfloat16": "#e69f00"}
LEFT, LENGTH, BAR = 230, 420, 14


def main() -> None:
    """Draw a bar for each figure and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    found = {name: v for name, v in json.loads(args.json.read_text()).items() if "ratio" in v}
    rows = sorted({name.rpartition(", ")[0] for name in found})
    parts = []
    for row, name in enumerate(rows):
        top = 10 + row * (2 * BAR + 12)
        parts.append(f'<text x="8" y="{top + BAR + 4}">{name}</text>')
        for number, (precision, colour) in enumerate(COLOURS.items()):
            ratio = found[f"{name}, {precision}"]["ratio"]
            y, end = top + number * BAR, LEFT + LENGTH * ratio
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.0f}" height="{BAR - 1}" '
                f'fill="{colour}"/><text x="{end + 6:.0f}" y="{y + 11}">{ratio:.2f}</text>'
            )
    height = 10 + len(rows) * (2 * BAR + 12)
    parts.append(f'<path d="M{LEFT + LENGTH} 4V{height}" stroke="#888"/>')
    for number, (precision, colour) in enumerate(COLOURS.items()):
        x = LEFT + number * 110
        parts.append(f'<rect x="{x}" y="{height + 8}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{height + 19}">ours, {precision}</text>')
    parts.append(f'<text x="{LEFT + LENGTH - 130}" y="{height + 19}">1: as long as theirs</text>')
    size = f'width="{LEFT + LENGTH + 40}" height="{height + 30}"'
    body = "\n".join(parts)
    args.picture.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
