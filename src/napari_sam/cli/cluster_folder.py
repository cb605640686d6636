"""Several images on a cluster: each of them is a task; the record is written here alone."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cluster import Cluster
from .cluster_tasks import FileTask, do_file
from .inputs import Input
from .manifest import Manifest
from .worded import whole_name

if TYPE_CHECKING:
    from .folders import FolderRun

NOTES = ".begun"
"""Folder among the results where workers note what is complete; see `take_notes`."""
HERE = ("run", "loaded")
"""Arguments that workers do not get."""


def do_on_cluster(
    run: FolderRun, images: Sequence[Input], manifest: Manifest, cluster: Cluster
) -> None:
    """Do images that are not done, and record what became of them."""
    notes = run.args.output.resolve() / NOTES
    notes.mkdir(exist_ok=True)
    entries: dict[str, tuple[Input, dict[str, Any]]] = {}

    def tasks() -> Iterator[FileTask]:
        for one in images:
            entry, args, known = run.entry_of(one), None, None
            with run.failing(one, manifest, entry):
                args, known = run.prepared(one, manifest, entry)
            if args is None:
                continue
            line = {key: entry[key] for key in ("file", "result", "sha256", "place")}
            entries[entry["result"]] = one, entry
            note = _note_of(notes, entry["result"])
            sent = _sent(args, cluster.source.model)
            yield FileTask(cluster.source, run.form.run, sent, line, known, note)

    for count, outcome in enumerate(cluster.completed(do_file, tasks()), start=1):
        one, entry = entries.pop(outcome.task.line["result"])
        run.say(f"{count} files done by {cluster.workers()} workers, of {len(images)}: {one.name}")
        with run.failing(one, manifest, entry):
            found = outcome.result()
            for text in found.notes:
                run.say(f"{one.name}: {text}", keep=True)
            take_notes(run.args.output, manifest, [outcome.task.begun])
            run.finish(manifest, entry, found.summary, found.results, found.seconds)
    take_notes(run.args.output, manifest)


def take_notes(folder: Path, manifest: Manifest, notes: Sequence[Path] | None = None) -> None:
    """Move what workers noted into the record.

    A worker notes that a result is complete in a file of its own before it puts it in place. So
    the record has one writer, and what a killed run left is told from other files all the same.

    Parameters
    ----------
    folder : Path
        Of the results.
    manifest : Manifest
    notes : sequence of Path, optional
        By default all; then their folder is removed.
    """
    place = folder / NOTES
    for note in sorted(place.glob("*.json")) if notes is None else notes:
        with suppress(FileNotFoundError):
            manifest.add(**json.loads(note.read_text(encoding="utf-8")))
            note.unlink()
    if notes is None:
        for left in place.glob("*"):  # of a worker that was killed while it wrote
            left.unlink(missing_ok=True)
        with suppress(OSError):  # none, or a worker of a killed run has just written to it
            place.rmdir()


def _note_of(notes: Path, result: str) -> Path:
    return notes / f"{hashlib.sha256(result.encode()).hexdigest()[:24]}.json"


def _sent(args: Namespace, model: str) -> dict[str, Any]:
    """Return the arguments of an image as they mean the same on each machine."""
    sent = {
        name: value.resolve() if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in HERE
    }
    if "text_model" in sent:
        sent["text_model"] = whole_name(args.text_model)
    return {**sent, "model": model, "cluster": None}
