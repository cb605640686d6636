"""The model learns from kept objects, in a process of its own; it is used if it is better."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFileDialog

from ....files import replacing
from ....models.cards import SUFFIX
from ....models.registry import check_trainable, label
from ....steps import single
from ....training.finetune.audit import Audit
from ....training.finetune.findings import Finding
from ....training.finetune.request import Request, remove_left_over
from ....training.finetune.seen import Sight
from ....training.finetune.tune_params import TuneParams
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from ...time_left import in_words
from ..feature import Feature
from .compare import ComparedHere
from .panel import LearningPanel
from .rest import Rest
from .sources import looking_over, pairs_of, views_of
from .trained import TrainedModels
from .training import Training
from .window import PictureWindow

SOURCE = "learning"
"""What the status line knows the work by."""
SHARE, JUDGES = 0.25, 8
"""Share of the objects that is held out, and how many at least, as far as half of them allow."""
MOST_MINUTES = 2.0
"""Of a training that the user did not ask for."""


class Learning(Feature):
    """Trains a copy of the model on kept objects, shows the proof, and puts a better one in use."""

    title = "Learn"
    panel: LearningPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.status = context.status
        self.panel = LearningPanel()
        self.training = Training(context)
        self.rest = Rest(context)
        self.models = TrainedModels(context, self.training, self.rest)
        self.compared = ComparedHere(context, self.panel)
        self._audit: Audit | None = None
        self._verdict: dict[str, Any] = {}
        self._connect()

    def start(self) -> None:
        """Show what was chosen in earlier sessions."""
        remove = partial(remove_left_over, self.context.disk.folder)
        self.context.scheduler.submit(Work(lambda: single(remove)), Lane.LEARN)
        self.panel.set_learning(self.context.preferences.chosen.learn, "")
        self.rest.start()

    def close(self) -> None:
        """End the training."""
        self.rest.close()
        self.training.close()
        self.compared.close()

    # -- what the user does ---------------------------------------------------------------------

    def look_over(self) -> None:
        """Read what is learnt from, look for what is wrong with it, and estimate the training."""
        self.status.acted()
        self._look_over(self._show_audit)

    def begin(self) -> None:
        """Train, or go on where a training has ended unexpectedly."""
        self.status.acted()
        if self.training.resumable:
            self.training.go_on()
            return
        left_out = self.panel.left_out
        self._look_over(partial(self._begin_on, left_out))

    def pause(self, paused: bool) -> None:
        """Let the training stand still, or go on."""
        self.training.pause(paused)

    def stop(self) -> None:
        """End the training; the best so far is compared. Again: give it up."""
        self.status.acted()
        self.training.stop()

    def show_findings(self) -> None:
        """Draw the places to look at, and show them in a window of their own."""
        audit = self._audit
        if audit is None:
            return

        def done(pixels: Any) -> None:
            height, width = pixels.shape[:2]
            image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            self._open("What to look at", audit.as_text(), QPixmap.fromImage(image))

        work = Work(lambda: single(audit.as_picture), on_result=done, text="drawing the findings")
        self.context.scheduler.submit(work, Lane.LEARN)

    def show_details(self) -> None:
        """Show the figures of the comparison, and the objects that changed most."""
        if self._verdict:
            picture = QPixmap(self._verdict["picture"])
            self._open("Before and after", self._verdict["table"], picture)

    def back(self) -> None:
        """Use the model again that was in use before."""
        self.status.acted()
        self.models.back()

    def save(self) -> None:
        """Ask where the trained model goes; the window stays alive."""
        source = self.models.trained
        if not source:
            return
        dialog = QFileDialog(self.panel, "Save the model", f"tuned{SUFFIX}", f"Models (*{SUFFIX})")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(SUFFIX[1:])
        dialog.fileSelected.connect(partial(self.save_to, source))
        dialog.open()

    def save_to(self, source: str, target: str) -> None:
        """Write the trained model into a file of the user's."""

        def copied() -> None:
            with replacing(target) as partial_file:
                shutil.copyfile(source, partial_file)

        done = partial(self.status.hint, f"the model is in {target}; choose it under Model")
        work = Work(lambda: single(copied), on_result=lambda _: done(), text="saving the model")
        self.context.scheduler.submit(work, Lane.LEARN)

    def learn_as_i_go(self, on: bool) -> None:
        """Train in the background whenever enough objects are new, or no more."""
        self.context.preferences.set(learn=on)
        self.rest.acted()
        job = self.training.job
        if not on and job is not None and job.automatic and self.training.runs:
            self.training.give_up()
        self._say_missing()

    # -- the training ---------------------------------------------------------------------------

    def _look_over(self, then: Callable[[Audit], None], quiet: bool = False) -> None:
        """Read what is learnt from; quietly where the user did not ask for it."""
        context, session = self.context, self.context.session
        everything = self.panel.everything
        if session is None or not views_of(context, everything):
            hindrance = context.hindrance() or ("" if session else context.absence)
            self.status.hint(hindrance or "keep some objects first; the model learns from them")
            return

        model = session.predictor.model
        sight = Sight(model.image_size, model.largest_scale)

        def said(step: Progress) -> None:
            if not quiet:
                self.status.progress(SOURCE, step.text, step.done, step.total)

        def done(audit: Audit) -> None:
            self.status.progress(SOURCE)
            then(audit)

        def failed(text: str) -> None:
            self.status.progress(SOURCE)
            self._say_failed(text, quiet)

        work = Work(
            partial(looking_over, pairs_of(context, everything), sight),
            on_step=said,
            on_result=done,
            on_error=failed,
            text="looking over what is learnt from",
        )
        context.scheduler.submit(work, Lane.LEARN)

    def _show_audit(self, audit: Audit) -> None:
        self._audit = audit
        self.panel.set_findings(audit.as_text().splitlines()[0], audit.findings)
        self.panel.set_estimate("estimating time and memory ...")
        request = self._request(audit, self.panel.minutes.value(), estimate=True)
        self.training.begin(audit, (), request)
        self._clear_result()

    def _begin_on(self, ticked: Sequence[Finding], audit: Audit) -> None:
        """Train on what the layers hold now, without what was ticked before."""
        self._audit = audit
        left_out = [one for one in audit.findings if one in ticked]
        self.panel.set_findings(audit.as_text().splitlines()[0], audit.findings, left_out)
        self.rest.learnt(self._counts())
        self.training.begin(audit, left_out, self._request(audit, self.panel.minutes.value()))
        self._clear_result()

    def _begin_by_itself(self, audit: Audit) -> None:
        if not self.training.runs:
            self.training.begin(audit, (), self._request(audit, MOST_MINUTES), automatic=True)
            self._clear_result()

    def _request(self, audit: Audit, minutes: float, estimate: bool = False) -> Request:
        count = max(1, audit.balance.objects)
        share = max(SHARE, min(0.5, JUDGES / count))
        device = self.context.preferences.chosen.device
        return Request(self.models.base, TuneParams(minutes), share, device, estimate)

    def _clear_result(self) -> None:
        self._verdict = {}
        self.models.drop()
        self.compared.hide()
        self.panel.curve.clear()
        self._show_result()

    def _show_result(self) -> None:
        text, trained = self._verdict.get("text", ""), self.models.trained
        self.panel.set_result(text, bool(self._verdict), bool(trained))

    def _on_told(self, event: dict[str, Any]) -> None:
        kind, panel = event["event"], self.panel
        job = self.training.job
        if kind == "estimate":
            panel.set_estimate(_estimated(event))
        elif kind == "split":
            panel.set_estimate(event["text"])
        elif kind == "step":
            loss = event["loss"] if event["index"] else None
            panel.curve.add(event["seconds"], event["left"], loss, event["held_out"])
            panel.set_left(f"step {event['index']}, {in_words(event['left'])} left")
        elif kind == "progress" and job is not None and not job.request.estimate:
            panel.set_left(f"{event['text']} ...")
        elif kind == "verdict":
            self._on_verdict(event)

    def _on_verdict(self, event: dict[str, Any]) -> None:
        self._verdict = event
        self._show_result()
        job = self.training.job
        if job is None:
            return
        if event["better"]:
            self.models.take(job)
        else:
            say = self.status.hint if job.automatic else self.status.error
            say(f"{event['text']} {label(self.context.model)} stays in use.")

    def _on_failed(self, text: str) -> None:
        job = self.training.job
        self._say_failed(text, job is not None and job.automatic)

    def _say_failed(self, text: str, quiet: bool) -> None:
        """Say why nothing came of it; in the panel alone where the user did not ask for it."""
        self.panel.set_estimate("")
        if quiet:
            self.panel.set_result(text, False, bool(self.models.trained))
        else:
            self.status.error(text)

    def _on_used(self, before: str) -> None:
        self.status.error(  # it stays until it has been read
            f"{self._verdict.get('text', '')} It is in use from now on; Learn has a button to go "
            f"back to {before}."
        )

    def _on_training_changed(self) -> None:
        training, panel = self.training, self.panel
        panel.set_running(training.runs, training.paused)
        panel.set_resumable(training.resumable)
        job = training.job
        panel.stop.setText("Give up" if job is not None and job.ending else "Stop")

    # -- models ---------------------------------------------------------------------------------

    def _compare(self, shown: bool) -> None:
        self.status.acted()
        before = self.models.before
        other = before or self.models.trained
        if shown and other:
            self.compared.show(other, later=bool(before))
        else:
            self.compared.hide()

    def _on_session_changed(self) -> None:
        self.compared.hide()
        if self.context.session is None:
            return
        before = self.models.before
        self.panel.set_back(label(before) if before else "")
        self.panel.set_hindrance(self._hindrance())
        self._show_result()

    def _hindrance(self) -> str:
        """Return why the model in use cannot be trained; empty if it can."""
        try:
            check_trainable(self.models.base)
        except ValueError as error:
            return str(error)
        return ""

    # -- in idle time ---------------------------------------------------------------------------

    def _counts(self) -> dict[str, int]:
        views = views_of(self.context, self.panel.everything)
        return {view.id: view.store.next_label - 1 for view in views}

    def _on_looked(self) -> None:
        """Train where there is something new and the user rests."""
        context, rest = self.context, self.rest
        if not context.preferences.chosen.learn or self.training.runs or self._hindrance():
            return
        self._say_missing()
        counts = self._counts()
        if context.session is not None and rest.rests and not rest.missing(counts):
            rest.learnt(counts)
            self._look_over(self._begin_by_itself, quiet=True)

    def _say_missing(self) -> None:
        on = self.context.preferences.chosen.learn
        missing = self.rest.missing(self._counts()) if on else 0
        more = "more object is" if missing == 1 else "more objects are"
        text = f"learns when {missing} {more} kept" if missing else "learns when you rest"
        self.panel.set_learning(on, text if on else "")

    def _forget_audit(self) -> None:
        """Look again next time: what was looked over is of another image, or changed."""
        if self._audit is not None and not self.training.runs:
            self._audit = None
            self.panel.set_findings("", [])

    def _open(self, title: str, text: str, picture: QPixmap) -> None:
        PictureWindow(self.panel, title, text, picture).show()

    def _connect(self) -> None:
        panel, training, context = self.panel, self.training, self.context
        panel.look_asked.connect(self.look_over)
        panel.picture_asked.connect(self.show_findings)
        panel.start_asked.connect(self.begin)
        panel.pause_asked.connect(self.pause)
        panel.stop_asked.connect(self.stop)
        panel.details_asked.connect(self.show_details)
        panel.compare_asked.connect(self._compare)
        panel.back_asked.connect(self.back)
        panel.save_asked.connect(self.save)
        panel.learn_changed.connect(self.learn_as_i_go)
        panel.source_changed.connect(self._forget_audit)
        training.changed.connect(self._on_training_changed)
        training.told.connect(self._on_told)
        training.failed.connect(self._on_failed)
        self.rest.looked.connect(self._on_looked)
        self.models.used.connect(self._on_used)
        self.models.failed.connect(self._on_failed)
        context.session_changed.connect(self._on_session_changed)
        context.bench.image_changed.connect(self._forget_audit)
        context.pixels_changed.connect(self._forget_audit)


def _estimated(event: dict[str, Any]) -> str:
    """Return what a training takes, and whether too few objects will judge it."""
    text = (
        f"training takes {in_words(event['seconds'])}, {event['steps']} steps, and "
        f"{event['bytes'] / 1e9:.1f} GB of memory, {event['images'] / 1e6:.0f} MB of it for the "
        "images; the comparison may take more"
    )
    return f"{text}; {event['shortage']}" if event["shortage"] else text
