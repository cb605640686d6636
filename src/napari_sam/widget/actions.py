"""What keys do: actions with stable ids, the names of keys, and which action has which key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import getdoc

from app_model.backends.qt import QKeyBindingSequence, qkeysequence2modelkeybinding
from app_model.types import KeyBinding
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QKeySequence

from ..preferences import Preferences

NO_KEY = "(no key)"
"""In messages, the key of an action that has none."""


@dataclass(frozen=True, eq=False)
class Action:
    """Something that a key does.

    Attributes
    ----------
    id : str
        Stable over versions: "prompting.commit".
    title : str
        What it does, in a sentence without its full stop.
    default : str
        Its key if the user has not changed it; see `normalised`.
    run : callable
    """

    id: str
    title: str
    default: str
    run: Callable[[], None]


def actions_of(feature: object, keys: Mapping[str, Callable[[], None]]) -> list[Action]:
    """Return the actions of a part of the dock: ids and titles come from the methods themselves.

    Parameters
    ----------
    feature : Feature
        Its package begins the ids.
    keys : mapping of str to callable
        Methods by their default keys, or `functools.partial` of one and texts.
    """
    part = type(feature).__module__.split(".")[-2]
    actions = []
    for key, run in keys.items():
        method = run.func if isinstance(run, partial) else run
        given = [str(one) for one in run.args] if isinstance(run, partial) else []
        doc = (getdoc(method) or "").split("\n")[0].removesuffix(".")
        default = normalised(key)
        title = f"{doc}: {key_text(default)}" if given else doc
        name = getattr(method, "__name__", "")
        actions.append(Action(".".join((part, name, *given)), title, default, run))
    return actions


def normalised(key: str) -> str:
    """Return napari's own name of a key, "Ctrl+Shift+Z" for "Control-Shift-Z"; "" stays.

    Raises
    ------
    ValueError
        If it is no key, or several in a row.
    """
    if not key:
        return ""
    try:
        binding = KeyBinding.from_str(key)
        name = str(binding)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{key} is no key") from error
    if len(binding) != 1 or not binding.part0.key:
        raise ValueError(f"{key} is no key that can be used; choose one key, with Ctrl or the like")
    return name


def key_text(key: str) -> str:
    """Return a key as Qt writes it on this system; "" for no key."""
    text = str(sequence_of(key).toString(QKeySequence.SequenceFormat.NativeText))
    return "Enter" if text == "Return" else text


def sequence_of(key: str) -> QKeySequence:
    """Return a key as Qt has it; empty for no key."""
    return QKeyBindingSequence(KeyBinding.from_str(key)) if key else QKeySequence()


def key_of(sequence: QKeySequence) -> str:
    """Return the name of a key that was pressed in a `QKeySequenceEdit`; "" for none.

    Raises
    ------
    ValueError
        If napari does not know the key.
    """
    if sequence.isEmpty():
        return ""
    name = str(qkeysequence2modelkeybinding(sequence))
    return normalised(name or sequence.toString())


def shared_keys(actions: Iterable[Action], keys: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the titles of the actions that have a key in common, by that key.

    Parameters
    ----------
    actions : iterable of Action
    keys : mapping of str to str
        By the ids of the actions.
    """
    titles: dict[str, list[str]] = {}
    for one in actions:
        titles.setdefault(keys[one.id], []).append(one.title)
    return {key: some for key, some in titles.items() if key and len(some) > 1}


class Keymap(QObject):  # type: ignore[misc]
    """Which action has which key; what the user changed is kept in the preferences.

    Messages and captions in the program name the default keys. `shown` and `caption` put those in
    use in their place.

    Parameters
    ----------
    preferences : Preferences

    Attributes
    ----------
    actions : list of Action

    Signals
    -------
    changed : no argument
        Actions have other keys.
    """

    changed = Signal()

    def __init__(self, preferences: Preferences) -> None:
        super().__init__()
        self.actions: list[Action] = []
        self._preferences = preferences
        self._names: dict[str, str] = {}  # of keys in use, by the written names of default ones
        self._written = re.compile("(?!)")

    def add(self, actions: Iterable[Action]) -> None:
        """Take up actions, once the dock has all its parts."""
        self.actions.extend(actions)
        self._rename()

    def keys(self) -> dict[str, str]:
        """Return the keys in use, by the ids of actions; "" where there is none.

        A key that the user has given to another action is lost by the one whose default it is.
        """
        kept = self._preferences.chosen.keys
        changed = {one.id: _known(kept[one.id], one) for one in self.actions if one.id in kept}
        taken = {key for key in changed.values() if key}
        return {
            one.id: changed.get(one.id, "" if one.default in taken else one.default)
            for one in self.actions
        }

    def change(self, keys: Mapping[str, str]) -> None:
        """Give actions other keys, by their ids; those of actions unknown here stay as they are.

        Parameters
        ----------
        keys : mapping of str to str
            See `normalised`.
        """
        defaults = {one.id: one.default for one in self.actions}
        kept = {**self._preferences.chosen.keys, **keys}
        self._preferences.set(
            keys={name: key for name, key in kept.items() if defaults.get(name) != key}
        )
        self._rename()
        self.changed.emit()

    def bindings(self) -> dict[str, Callable[[], None]]:
        """Return what the keys in use call."""
        keys = self.keys()
        return {keys[one.id]: one.run for one in self.actions if keys[one.id]}

    @property
    def is_default(self) -> bool:
        """Whether all keys are called what messages and captions say."""
        return not self._names

    def shown(self, message: str) -> str:
        """Return a message with the keys in use in the place of default ones."""
        return self._written.sub(lambda found: self._names[found[0]] or NO_KEY, message)

    def caption(self, text: str) -> str:
        """Return a caption, such as "Commit  Enter", with the key in use; also of a key alone."""
        head, gap, key = text.rpartition("  ")
        if key not in self._names:
            return text
        return f"{head}{gap}{self._names[key]}".rstrip()

    def _rename(self) -> None:
        """Note which written names of keys are not those in use."""
        keys = self.keys()
        pairs = ((_written(one.default), key_text(keys[one.id])) for one in self.actions)
        self._names = {name: text for name, text in pairs if name != text}
        words = sorted((re.escape(one) for one in self._names if one[-1].isalnum()), key=len)
        if words:  # as a word of its own, not a part of "3-D" or "A.tif"
            longest_first = "|".join(reversed(words))
            pattern = rf"(?<![\w+.'/-])(?:{longest_first})(?![\w+'/-]|\.\w)"
        self._written = re.compile(pattern if words else "(?!)")


def _known(key: str, action: Action) -> str:
    """Return a key as it was kept; the default one if there is no such key."""
    try:
        return normalised(key)
    except ValueError:
        return action.default


def _written(key: str) -> str:
    """Return a key as messages and captions in the program write it."""
    return "Esc" if key == "Escape" else key
