"""One command over many images: bad ones are named at the end, and a later run goes on."""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..everything.rules import read_rule
from ..files import check_target, many_results
from ..formats.label_images import LABEL_FORMATS, label_suffix
from ..predict.prompt_kinds import PROMPT_KINDS
from .cluster import check_cluster, connected
from .cluster_folder import do_on_cluster, take_notes
from .commands import Say, given_params, load
from .endings import Declined, TerminatedError, is_memory
from .inputs import Input, find_inputs, is_image_folder, is_list, is_several
from .kept_results import Digests, kept
from .made_from import made_from, own_prompts
from .manifest import DONE, FAILED, Manifest, is_results, locked
from .placing import Placing

Run = Callable[[Namespace, Say], str]
FORMS = tuple(name.removeprefix(".") for name in LABEL_FORMATS if name != ".tiff")
"""What results of a folder are written as; the first one by default."""
ONE_FILE = ("annotations", "tracks", "image_id", "part")
"""Options that are of a single image."""


def add_folder(parser: ArgumentParser, *others: str) -> None:
    """Declare what tells of several images; `others` are forms beside those of labels."""
    parser.add_argument(
        "--to", choices=(*FORMS, *others), metavar="FORM",
        help=f"several images: what results are written as, {', '.join((*FORMS, *others))} "
        f"(default {FORMS[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", metavar="WHERE",
        help="several images, or a stack of `everything`: let the workers of a dask cluster do "
        "them; local, local:N (N workers on this machine), or tcp://HOST:PORT of a scheduler",
    )  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What the results of several images are written as.

    Attributes
    ----------
    run : callable of (args, say)
        Does one image: it writes `args.output`, or what is called like it, and returns a summary
        as JSON, with "objects". `args.name` is the name of the image in the folder.
    ending : str
        Of `args.output`.
    """

    run: Run
    ending: str


def each(run: Run, others: Mapping[str, Form] | None = None) -> Run:
    """Return a command that takes one image or several.

    Parameters
    ----------
    run : callable of (args, say)
        The command for one image.
    others : mapping of str to Form, optional
        Forms of results that are not labels.
    """

    def over(args: Namespace, say: Say) -> str:
        if not _is_folder(args):
            args.image = args.image[0]
            if args.cluster and args.command == "segment":
                raise ValueError(
                    "--cluster is for several images; prompts of one image are answered here"
                )
            if args.to:
                raise ValueError(f"--to is for a folder of results, but -o is {args.output}")
            return run(args, say)
        labels = Form(run, f".{args.to or FORMS[0]}")
        return FolderRun(args, say, (others or {}).get(args.to or "", labels)).go()

    return over


def _is_folder(args: Namespace) -> bool:
    """Tell whether several images are meant, or one whose result goes to a folder."""
    labels = label_suffix(args.output) in LABEL_FORMATS
    several = is_several(args.image)
    if several and (labels or (args.output.exists() and not args.output.is_dir())):
        given = args.image[0]
        what = "several images are named"
        if given.is_dir():
            what = f"{given} is a folder"
        elif is_list(given):
            what = f"{given} is not an image but a list of them"
        raise ValueError(f"{what}, so -o is a folder of results, not the file {args.output}")
    return several or (not labels and (args.output.is_dir() or not args.output.suffix))


@dataclass
class FolderRun:
    """A run over several images.

    Attributes
    ----------
    args : Namespace
    say : callable
    form : Form
    failed : dict of str to str
        Why images could not be done.
    before, done, objects : int
        Images done before and in this run, and their objects.
    """

    args: Namespace
    say: Say
    form: Form
    failed: dict[str, str] = field(default_factory=dict)
    before: int = 0
    done: int = 0
    objects: int = 0

    def go(self) -> str:
        """Do all images; return what became of them as JSON."""
        args, folder = self.args, self.args.output
        _check_usage(args)
        found = find_inputs(args.image, folder)
        for what, count in found.left_out.items():
            self.say(f"{count} {what} are left out", keep=True)
        with locked(folder):
            manifest = Manifest(folder)
            check_target(manifest.path, None, overwrite=True)
            take_notes(folder, manifest)
            for name, reason in found.failed.items():
                entry = {"file": name, "result": name, "outcome": FAILED, "reason": reason}
                manifest.add(**entry)
                self.failed[name] = reason
            if args.cluster:
                seen = [one.path for one in found.images[:1]]
                with connected(args, seen, folder.resolve(), self.say) as cluster:
                    args.loaded = cluster.model
                    do_on_cluster(self, found.images, manifest, cluster)
            else:
                args.loaded = load(args, self.say)
                self._do_all(found.images, manifest)
        for name, reason in self.failed.items():
            self.say(reason if name in reason else f"{name}: {reason}", keep=True)
        summary = {
            "path": str(folder),
            "files": len(found.images) + len(found.failed),
            "done": self.done,
            "done_before": self.before,
            "failed": self.failed,
            "objects": self.objects,
            "model": args.loaded.name,
            "manifest": str(manifest.path),
        }
        return Declined(json.dumps(summary)) if self.failed else json.dumps(summary)

    def _do_all(self, images: Sequence[Input], manifest: Manifest) -> None:
        placing = Placing({}, frozenset(), lambda line: manifest.add(**line))
        with many_results(placing):
            for number, one in enumerate(images, 1):
                told = f"file {number} of {len(images)}: {one.name}"
                self.say(told)
                entry = self.entry_of(one)
                try:
                    with self.failing(one, manifest, entry):
                        self._do(one, manifest, entry, placing, told)
                except (KeyboardInterrupt, TerminatedError):
                    but = ", without --overwrite," if self.args.overwrite else ""
                    self.say(f"stopped at {told}; the same command{but} goes on there", keep=True)
                    raise

    def _do(
        self,
        one: Input,
        manifest: Manifest,
        entry: dict[str, Any],
        placing: Placing,
        told: str,
    ) -> None:
        """Do one image, unless its result is there."""
        begun = time.monotonic()
        args, known = self.prepared(one, manifest, entry)
        if args is None:
            return
        line = {key: entry[key] for key in ("file", "result", "sha256", "place")}
        placing.line, placing.known = line, known
        args.output.parent.mkdir(parents=True, exist_ok=True)
        found = json.loads(self.form.run(args, self._say_of(one, told)))
        seconds = round(time.monotonic() - begun, 3)
        self.finish(manifest, entry, found, placing.written, seconds)

    def entry_of(self, one: Input) -> dict[str, Any]:
        """Return how the record names an image and its result."""
        return {"file": one.name, "result": one.result + self.form.ending}

    def prepared(
        self, one: Input, manifest: Manifest, entry: dict[str, Any]
    ) -> tuple[Namespace | None, frozenset[str] | None]:
        """Return the arguments of an image, and the results that it may replace (None: all).

        What the result is made from is added to its entry. The arguments are None if the result
        is there.
        """
        args = Namespace(**{**vars(self.args), "image": one.path, "keep_partial": False})
        args.output, args.name = self.args.output / entry["result"], one.name
        args.prompts = own_prompts(getattr(self.args, "prompts", None), one)
        made = made_from(args, one.path)
        entry |= made
        versions = manifest.versions(entry["result"], made)
        if self.args.overwrite:
            return args, None
        if self._is_done(manifest.done(entry["result"]), versions, made):
            self.before += 1
            return None, None
        args.overwrite = bool(versions)
        return args, frozenset(name for each in versions for name in each)

    def finish(
        self,
        manifest: Manifest,
        entry: Mapping[str, Any],
        found: Mapping[str, Any],
        results: Digests,
        seconds: float,
    ) -> None:
        """Record an image that is done."""
        counts = {key: found[key] for key in ("objects", "shape", "planes") if key in found}
        manifest.add(**entry, outcome=DONE, results=results, **counts, seconds=seconds)
        self.done += 1
        self.objects += found["objects"]

    @contextmanager
    def failing(self, one: Input, manifest: Manifest, entry: Mapping[str, Any]) -> Iterator[None]:
        """Note what is wrong with an image, so that the others are done all the same."""
        begun = time.monotonic()
        try:
            yield
        except (ValueError, OSError, MemoryError) as error:
            reason = str(error) or "not enough memory"
        except RuntimeError as error:
            if not is_memory(error):
                raise
            reason = "not enough memory on this device"
        else:
            return
        self.failed[one.name] = self._short(reason, one)
        seconds = round(time.monotonic() - begun, 3)
        manifest.add(**entry, outcome=FAILED, reason=self.failed[one.name], seconds=seconds)

    def _is_done(
        self,
        entry: Mapping[str, Any] | None,
        versions: Sequence[Digests],
        made: Mapping[str, Any],
    ) -> bool:
        """Tell whether a result is complete and was made from the same.

        Raises
        ------
        ValueError
            If it was changed by hand, and is not complete or was made from something else.
        """
        keys = ("sha256", "fingerprint", "precision", "command", "parameters")
        same = entry is not None and all(entry.get(key) == made[key] for key in keys)
        now = kept(self.args.output, versions)
        if entry is not None and same:
            own = now if len(versions) == 1 else kept(self.args.output, [entry["results"]])
            # of two versions, one that is as another run wrote it was not corrected
            if own.complete and all(one in now.corrected for one in own.corrected):
                self.objects += entry.get("objects", 0)
                return True
        if now.corrected:
            raise ValueError(
                f"{self._name(now.corrected[0])} was changed after it was written, and is not "
                "replaced; move it away, or give --overwrite"
            )
        if now.added:
            raise ValueError(
                f"{self._name(now.added[0])} is no part of the result, which would be replaced; "
                "move it away, or give --overwrite"
            )
        return False

    def _name(self, path: Path) -> str:
        return path.relative_to(self.args.output).as_posix()

    def _say_of(self, one: Input, told: str) -> Say:
        def say(text: str, keep: bool = False) -> None:
            self.say(f"{one.name}: {text}" if keep else f"{told}, {text}", keep)

        return say

    def _short(self, reason: str, one: Input) -> str:
        """Return a reason in one line, without the folders of the user."""
        reason = reason.replace(str(one.path), one.name)
        for folder in (one.path.parent, self.args.output.resolve(), self.args.output):
            reason = reason.replace(f"{folder}{os.sep}", "")
        return " ".join(reason.split())


def _check_usage(args: Namespace) -> None:
    """Refuse what is wrong for every image, before the long work."""
    for name in ONE_FILE:
        if getattr(args, name, None):
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} is of one image; leave it out where there are several")
    if args.cluster:
        check_cluster(args.cluster)
    prompts = getattr(args, "prompts", None)
    typed = any(getattr(args, name, None) for name in PROMPT_KINDS)
    if args.command == "segment" and prompts is None and not typed:
        flags = ", ".join(kind.flag for kind in PROMPT_KINDS.values())
        raise ValueError(f"there is no prompt; give {flags}, or --prompts FILE or DIR")
    if prompts is not None and not prompts.exists():
        raise ValueError(f"there is no file {prompts}")
    if getattr(args, "rule", None) is not None:
        read_rule(args.rule)
    given_params(args)
    folder = args.output
    if is_image_folder(folder) and not is_results(folder):
        raise ValueError(f"{folder} is an image, not a folder of results; choose another -o")
