"""Find every object of a picture, then choose anew among the candidates without a second run."""

from dataclasses import replace

from skimage import data

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, load_model, masks
from napari_sam.steps import drive

image = data.coins()
predictor = SamPredictor(load_model("pocket"))
params = AmgParams(**predictor.model.amg_defaults)
generator = AutomaticMaskGenerator(predictor, params)

candidates = drive(generator.propose(image))  # the slow half
for threshold in (0.5, 0.6, 0.7, 0.8):
    records = generator.select(candidates, replace(params, pred_iou_thresh=threshold))
    labels = masks.to_labels(records, image.shape)
    print(f"predicted IoU above {threshold}: {labels.max()} objects")
