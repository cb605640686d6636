"""Click an object, then correct the answer with a second click."""

from skimage import data

from napari_sam import Prompts, SamPredictor, load_model

image = data.coins()
predictor = SamPredictor(load_model("pocket"))
embedding = predictor.encode(image)  # once for each plane

prediction = predictor.predict(embedding, Prompts(point_coords=[(347, 187)], point_labels=[1]))
for mask, score in zip(prediction.masks, prediction.iou_predictions, strict=True):
    print(f"a mask of {mask.area} pixels, predicted IoU {score:.2f}")

# a background click, with the best answer so far as a hint
corrected = predictor.predict(
    embedding,
    Prompts(
        point_coords=[(347, 187), (306, 187)],
        point_labels=[1, 0],
        mask_input=prediction.logits(prediction.best),
    ),
    multimask_output=False,
)
print(f"corrected: {corrected.masks[0].area} pixels")
