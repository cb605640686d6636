"""Find every object in every plane of a stack and link the planes."""

import numpy as np

from napari_sam import AmgParams, Progress, SamPredictor, load_model, stack
from napari_sam.images import samples

volume = samples.cells_stack(shape=(12, 96, 96))[4:7]
predictor = SamPredictor(load_model("pocket"))
params = AmgParams(**predictor.model.amg_defaults)

labels = np.zeros(volume.shape, np.int32)
for step in stack.everything(predictor, volume, params, axis=0, out=labels):
    if not isinstance(step, Progress):  # a plane is shown as soon as it is done
        z, plane = step
        print(f"plane {z}: {len(np.unique(plane)) - 1} objects")
print(f"{len(np.unique(labels)) - 1} objects in {len(labels)} planes")
