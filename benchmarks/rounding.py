"""How far float32 is from double precision in SAM's decoder of random weights at full size.

Both programs, transformers' and ours, on the same weights and the same embedding; the largest
difference of low-resolution logits in standard deviations of the answer in double precision.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from another_sam import answer, draw, prompts, published

from napari_sam.models import vit
from napari_sam.models.recognition import recognise


def main() -> None:
    """Print a line for each form of prompt."""
    theirs = draw()
    ours = vit.build(recognise(published(theirs)), "ours", "cpu")
    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    double = copy.deepcopy(theirs).double()
    for form, prompt in prompts(1024).items():
        wide = {
            name: value if value is None or name == "labels" else value.astype(np.float64)
            for name, value in prompt.items()
        }
        exact, _ = answer(double, embedding.double(), wide, True)
        single, _ = answer(theirs, embedding, prompt, True)
        own = ours.decode(embedding, multimask_output=True, **prompt).low_res_logits
        errors = [np.abs(logits - exact).max() / exact.std() for logits in (single, own)]
        print(f"{form}: transformers {errors[0]:.1e}, ours {errors[1]:.1e}")


if __name__ == "__main__":
    main()
