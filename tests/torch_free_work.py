"""What a user does with a model, by one function: run with torch and, in a process, without it."""

from __future__ import annotations

import sys

import numpy as np

PLANES = slice(11, 14)


def work(model):
    """Return masks and labels by name: clicks, a box, everything, a stack, propagation."""
    from napari_sam import AmgParams, AutomaticMaskGenerator, Prompts, SamPredictor, Session, stack
    from napari_sam.images import samples
    from napari_sam.masks import box_of, to_labels
    from napari_sam.stack.propagate import FoundPlane, propagate
    from napari_sam.types import Mask, Plane, SliceKey

    volume, labels = (part[PLANES] for part in samples.cells_stack_with_labels())
    predictor = SamPredictor(model)
    plane, truth = volume[1], labels[1]
    large = np.bincount(truth.ravel())[1:].argmax() + 1
    y, x = np.argwhere(truth == large).mean(axis=0)
    embedding = predictor.encode(plane)
    click = predictor.predict(embedding, Prompts([(x, y)]))
    box = predictor.predict(embedding, Prompts(box=box_of(truth == large)))
    found = {"click": click.masks[click.best], "box": box.masks[0]}
    found |= {f"candidate {k}": mask for k, mask in enumerate(click.masks)}
    params = AmgParams(**model.amg_defaults)
    records = AutomaticMaskGenerator(predictor, params).generate(plane)
    found["everything"] = to_labels(records, plane.shape, params.min_mask_region_area)
    found["stack"] = stack.run(stack.everything(predictor, volume, params))
    planes = [Plane(volume, SliceKey((1, 2), ((0, z),))) for z in range(len(volume))]
    key = {1: {1: Mask.of(truth == large)}}
    for step in propagate(Session(predictor), planes, key):
        if isinstance(step, FoundPlane) and 1 in step.found:
            found[f"propagated to {step.place}"] = step.found[1].mask
    return {name: np.asarray(one) for name, one in found.items()}


def main(path):
    """Do it without torch, and write the results."""
    import torch_hidden

    from napari_sam import load_model

    model = load_model("pocket")
    np.savez_compressed(path, **work(model))
    loaded = [name for name in torch_hidden.HIDDEN if name in sys.modules]
    if loaded or model.device != "cpu" or model.name != "pocket":
        raise SystemExit(f"{loaded}, {model.device}, {model.name}")


if __name__ == "__main__":
    main(sys.argv[1])
