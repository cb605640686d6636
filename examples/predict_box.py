"""Draw boxes around several objects; they are answered in one batch."""

import numpy as np
from skimage import data

from napari_sam import Prompts, SamPredictor, load_model

image = data.coins()
boxes = [(305, 16, 364, 71), (192, 30, 242, 72), (245, 96, 295, 143)]  # x0, y0, x1, y1, inclusive
predictor = SamPredictor(load_model("pocket"))
embedding = predictor.encode(image)
predictions = predictor.predict_many(embedding, [Prompts(box=box) for box in boxes])

labels = np.zeros(image.shape, np.int32)
for label, prediction in enumerate(predictions, start=1):
    labels[np.asarray(prediction.masks[prediction.best])] = label
for label, area in enumerate(np.bincount(labels.ravel())[1:], start=1):
    print(f"object {label}: {area} pixels")
