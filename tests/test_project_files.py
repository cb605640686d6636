"""The files around the package: links of the documentation, README on the package index."""

from __future__ import annotations

import re
from pathlib import Path

import check_links
import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from napari_sam import __version__

ROOT = Path(__file__).resolve().parent.parent
PAGE = "# Page\n\n## How `exact`, and *why*?\n\n```\n# no heading\n```\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    (tmp_path / "docs" / "shown.md").write_text('--8<-- "docs/page.md"\n')
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        "[a](docs/page.md)",
        "[a](docs/page.md#how-exact-and-why)",
        "[a](docs/shown.md#page)",
        "[a](#start)",
        "[a](https://example.org/none#x)",
        "[a][b]\n\n[b]: docs/page.md#page",
        "`[a](none.md)`",
        "```\n[a](none.md)\n```",
    ],
)
def test_links_that_lead_somewhere(folder, link):
    (folder / "start.md").write_text(f"# Start\n\n{link}\n")
    assert list(check_links.problems(folder / "start.md")) == []


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](none.md)", "none.md names no file"),
        ("![a](docs/none.png)", "docs/none.png names no file"),
        ("[a](docs/page.md#exact)", "docs/page.md#exact names no heading of page.md"),
        ("[a](docs/page.md#no-heading)", "docs/page.md#no-heading names no heading of page.md"),
        ("[a](#page)", "#page names no heading of start.md"),
        ("[a][b]\n\n[b]: none.md", "none.md names no file"),
    ],
)
def test_links_that_lead_nowhere(folder, link, wrong):
    (folder / "start.md").write_text(f"# Start\n\n{link}\n")
    assert list(check_links.problems(folder / "start.md")) == [f"start.md: {wrong}"]


def test_links_of_readme_work_on_the_package_index():
    project = ProjectMetadata(str(ROOT), PluginManager())
    links = re.findall(r"\]\(([^)]+)\)", project.core.readme)
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", project.core.readme)
    assert len(pictures) == 2
    assert all("/raw.githubusercontent.com/" in link for link in pictures)


def test_versions_agree():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
