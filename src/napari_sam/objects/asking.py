"""The model asked about kept objects: what lies at two clicks, and where the outline runs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from ..masks import iou
from ..predict.kept_masks import logits_of
from ..predict.session import Session
from ..types import Mask, MaskLogits, Plane, Progress, Prompts, SliceKey
from .reshape_edits import Changed, Outlines, Reshape
from .segmented import Outline
from .splitting import Answers, Ask, Point

SAME_OBJECT = 0.5
"""An answer with a smaller IoU with the outline that was shown to the model is another object."""


def plane_of(plane: Plane, key: SliceKey) -> Plane:
    """Return another plane of an image, seen as one is.

    Parameters
    ----------
    plane : Plane
    key : SliceKey
        Upright; `plane` may be displayed with its axes swapped.
    """
    rows, columns = plane.spacing
    turned = plane.key.displayed != key.displayed
    return replace(plane.whole, key=key, spacing=(columns, rows) if turned else plane.spacing)


def asking(session: Session, plane: Plane) -> Ask:
    """Return what asks a session about two parts of an object; see `splitting.Ask`.

    The model is shown the whole object, with a click on one part and a background click on the
    other.
    """

    def ask(key: SliceKey, mask: Mask, first: Point, second: Point) -> Answers:
        here = plane_of(plane, key)
        both = [Prompts([first, second], [1, 0]), Prompts([second, first], [1, 0])]
        both = [one.with_mask(_shown(session, here, mask, one)) for one in both]
        one, other = session.predict_many(here, both)
        return one.masks[one.best], other.masks[other.best]

    return ask


def snapping(session: Session, plane: Plane) -> Reshape:
    """Return what replaces rough outlines by those that the model sees; see `Reshape`.

    The model is shown the outline and its box. A plane in which it sees no object there,
    or quite another one, keeps its outline.

    Parameters
    ----------
    session : Session
    plane : Plane
        Any plane of the image, as it is seen.
    """

    def reshape(outlines: Outlines) -> Generator[Progress, None, tuple[Changed, Outlines]]:
        after: dict[SliceKey, Outline | None] = {}
        for done, (key, outline) in enumerate(outlines.items()):
            yield Progress(done, len(outlines))
            after[key] = snapped(session, plane_of(plane, key), outline)
        return after, {}

    return reshape


def snapped(session: Session, plane: Plane, outline: Outline) -> Outline:
    """Return an outline as the model sees it; the same if the model sees no such object."""
    mask, model = outline.mask, session.predictor.model
    said = Prompts(box=mask.box)
    asked = said.with_mask(_shown(session, plane, mask, said))
    (answer,) = session.predict_many(plane, [asked], multimask_output=False)
    seen = answer.masks[answer.best]
    if not answer.present or iou(seen, mask) < SAME_OBJECT:
        return outline
    score = float(answer.iou_predictions[answer.best])
    return replace(
        outline,
        mask=seen,
        candidate=answer.best,
        score=score,
        model=model.name,
        model_hash=model.fingerprint,
    )


def _shown(session: Session, plane: Plane, mask: Mask, prompts: Prompts) -> MaskLogits:
    """Return logits that show the model an outline."""
    look = session.closer_look
    return logits_of(mask, session.predictor.model, prompts, plane.spacing, look)
