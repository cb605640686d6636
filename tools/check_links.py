"""Check the links of all Markdown files: each names a file that exists, and a heading in it.

Addresses of other sites are not visited. Usage: python tools/check_links.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("*.md", "docs/**/*.md", "benchmarks/**/*.md", ".github/**/*.md")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
DEFINED = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
INCLUDED = re.compile(r'^--8<-- "([^":]+)', re.MULTILINE)
"""A page that the site makes from another file."""


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    text = path.read_text(encoding="utf-8")
    found: set[str] = set()
    for title in HEADING.findall(re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)):
        plain = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(re.sub(r"\s+", "-", plain.strip()))
    for name in INCLUDED.findall(text):
        found |= anchors(ROOT / name)
    return found


def problems(path: Path) -> Iterator[str]:
    """Yield a line for each link of a file that leads nowhere."""
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    for link in (*INLINE.findall(text), *DEFINED.findall(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            yield f"{path.relative_to(ROOT)}: {link} names no file"
        elif anchor and anchor not in anchors(target):
            yield f"{path.relative_to(ROOT)}: {link} names no heading of {target.name}"


def main() -> None:
    """Check every file, and end with the list of what is wrong."""
    files = [path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]
    sys.exit("\n".join(line for path in files for line in problems(path)) or None)


if __name__ == "__main__":
    main()
