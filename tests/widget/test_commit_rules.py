"""What a commit takes from the choices for new objects: the overlap rule and the class."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

BOX = [[8, 10], [8, 46], [42, 46], [42, 10]]


def test_a_commit_uses_the_rule_and_the_class_chosen(hands):
    hands.context.category = "cell"
    for rule in ("keep", "overwrite"):
        hands.context.overlap = rule
        hands.bench.prompts.boxes.add(np.array(BOX), shape_type="rectangle")
        hands.until(lambda: hands.answers and not hands.prompting.asker.pending)
        hands.press(Qt.Key.Key_Return)
    assert set(np.unique(hands.labels)) == {0, 2}  # the second took all pixels of the first
    kept = hands.bench.results.store.objects[2]
    assert kept.category == "cell"
    assert kept.time > 0
