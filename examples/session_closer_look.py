"""Let a session choose the field of view: a small object is looked at again, magnified."""

import numpy as np

from napari_sam import (
    Plane,
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
z = 4
rows, columns = np.nonzero(truth[z] == np.bincount(truth[z][truth[z] > 0]).argmax())
click = (float(columns[len(columns) // 2]), float(rows[len(rows) // 2]))

session = Session(SamPredictor(load_model("pocket")))
plane = Plane(volume, SliceKey(displayed=(1, 2), fixed=((0, z),)))
first = session.predict(PredictRequest(plane, Prompts([click])))
print(f"whole plane: {volume.shape[2]} x {volume.shape[1]} pixels")
print(f"looked at: {first.window or 'all of it'}")

# a correction goes on in the same window, with the logits as a hint
prompts = Prompts([click, (click[0] + 30, click[1])], [1, 0], mask_input=first.logits(first.best))
second = session.predict(PredictRequest(plane, prompts, multimask_output=False))
print(f"{first.masks[first.best].area} pixels, corrected {second.masks[0].area}")
