"""Let a session choose the field of view: a small object is looked at again, magnified."""

import numpy as np

from napari_sam import (
    PredictRequest,
    Prompts,
    SamPredictor,
    Session,
    SliceKey,
    load_model,
)
from napari_sam.images import samples

# one nucleus stack, tiled to a wide field in which every nucleus is small
volume = np.tile(samples.cells_stack(shape=(8, 96, 96)), (1, 8, 8))
truth = np.tile(samples.cells_stack_labels(shape=(8, 96, 96)), (1, 8, 8))
plane = 4
rows, columns = np.nonzero(truth[plane] == np.bincount(truth[plane][truth[plane] > 0]).argmax())
click = (float(columns[len(columns) // 2]), float(rows[len(rows) // 2]))

session = Session(SamPredictor(load_model("pocket")))
key = SliceKey(displayed=(1, 2), fixed=((0, plane),))
first = session.predict(PredictRequest(key, volume, None, Prompts([click])))
print(f"whole plane: {volume.shape[2]} x {volume.shape[1]} pixels")
print(f"looked at: {first.request.key.window or 'all of it'}")

# a correction goes on in the same window, with the logits as a hint
prompts = Prompts(
    [click, (click[0] + 30, click[1])], [1, 0], mask_input=first.low_res_logits[first.best]
)
request = PredictRequest(first.request.key, volume, None, prompts, multimask_output=False)
second = session.predict(request)
print(f"{first.masks[first.best].sum()} pixels, corrected {second.masks[0].sum()}")
