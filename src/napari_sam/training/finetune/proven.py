"""Fine-tuning with its proof: train, compare with the base, and write the file with its figures."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...evaluate.judged import kin_of
from ...evaluate.paired import FEWEST
from ...evaluate.verdict import counted
from ...evaluate.versus import Versus, comparing
from ...models.cards import read_card, with_card
from ...models.registry import loading
from ...types import Progress
from .examples import Example
from .held_out import spread
from .split import Split
from .tune_params import TuneParams, TuneStep
from .tuning import KEPT, tuning

IMAGES, OBJECTS = 60, 200
"""At most so many held-out images are compared, and about so many objects of all."""
FEWEST_IMAGES = 4
"""Held-out images from which on choosing the weights and judging them use different ones."""


@dataclass(frozen=True, eq=False)
class Proven:
    """A tuned model and how it compares with its base.

    Attributes
    ----------
    path : Path
        The tuned file, in the folder of the training.
    versus : Versus
    """

    path: Path
    versus: Versus

    @property
    def remark(self) -> str:
        """One sentence if the weights are the base's, as none were better; or else ""."""
        card = read_card(self.path)
        if card is None or card.settings.get(KEPT) != 0:
            return ""
        return "No weights of the training were better than the base's on the held-out images."

    def write(self, target: Path) -> None:
        """Write the tuned file with the figures of the comparison in its card.

        Raises
        ------
        ValueError
            If it cannot be written.
        """
        card = read_card(self.path)
        if card is None:
            raise ValueError(f"{self.path} has no card: it is not a tuned model; train again")
        with_card(self.path, replace(card, figures=self.versus.as_dict()), target)


def proven_tuning(
    base: str | Path,
    divided: Split,
    params: TuneParams,
    folder: Path,
    *,
    device: str = "auto",
    offline: bool | None = None,
    everything: bool | None = None,
) -> Generator[TuneStep | Progress, None, Proven]:
    """Tune a model and compare it with its base on the held-out images.

    Parameters
    ----------
    base : str or Path
        A name of the registry, or the path of a checkpoint.
    divided : Split
    params : TuneParams
    folder : Path
        Of checkpoints. A training that was stopped goes on from those in it.
    device, offline
        Of the training and of the comparison; see `tuning` and `models.registry.loading`.
    everything : bool, optional
        Whether everything mode is compared; by default where the model has an instance head, as
        it takes minutes for each image with the others.

    Yields
    ------
    TuneStep or Progress

    Returns
    -------
    Proven

    Raises
    ------
    ValueError
        See `tuning`, `loading` and `comparing`.
    """
    choosing, judging = halves(divided.held_out)
    path = yield from tuning(
        base, divided.learn, choosing, params, folder, device=device, offline=offline
    )
    return (
        yield from proving(
            base,
            path,
            judging,
            seed=params.seed,
            device=device,
            offline=offline,
            everything=everything,
        )
    )


def proving(
    base: str | Path,
    path: Path,
    judging: Sequence[Example],
    *,
    seed: int = 0,
    device: str = "auto",
    offline: bool | None = None,
    everything: bool | None = None,
) -> Generator[Progress, None, Proven]:
    """Compare a tuned model with its base; see `proven_tuning`.

    Parameters
    ----------
    base : str or Path
    path : Path
        The tuned model.
    judging : sequence of Example
        Held-out images, which chose no weights where there are enough; see `halves`.
    seed : int
    device, offline, everything
        See `proven_tuning`.

    Yields
    ------
    Progress

    Returns
    -------
    Proven

    Raises
    ------
    ValueError
        See `loading` and `comparing`.
    """
    before = yield from loading(base, device, offline)
    after = yield from loading(path, device, offline)
    if everything is None:
        everything = before.amg_defaults.get("seeds") == "auto"
    judging = spread([one for one in judging if one.objects], IMAGES)
    limit = max(1, OBJECTS // max(1, len(judging)))
    versus = yield from comparing(
        before, after, judging, everything=everything, limit=limit, seed=seed
    )
    return Proven(path, versus)


def halves(held_out: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Divide held-out images into those that choose the best weights and those that judge them.

    The best of several weights on some images looks better on those than it is. With fewer than
    `FEWEST_IMAGES` labelled ones there is no choice: all of them do both. Otherwise a third, two at
    least, chooses. Neighbouring planes of a stack stay on one side but for the border.
    """
    labelled = sorted((one for one in held_out if one.objects), key=_order)
    if len(labelled) < FEWEST_IMAGES:
        return list(held_out), list(held_out)
    middle = max(2, len(labelled) // 3)
    return labelled[:middle], labelled[middle:]


def shortage(divided: Split) -> str:
    """Return a sentence if too few objects judge to tell a gain from chance; else "".

    An object that several planes of a stack show is one, as in `comparing`.
    """
    _, judging = halves(divided.held_out)
    count = _different(judging)
    if count >= FEWEST:
        return ""
    known = _different([*divided.learn, *divided.held_out])
    more = -(-(FEWEST - count) * known // max(1, count))
    return (
        f"{counted(count, 'object')} will judge the result, but at least {FEWEST} are needed to "
        f"tell a gain from chance: label about {more} more"
    )


def _different(examples: Sequence[Example]) -> int:
    return len({track for kin in kin_of(examples) for track in kin.tracks.values()})


def _order(example: Example) -> tuple[str, str, int, str]:
    return example.family, example.stack, example.place, example.name
