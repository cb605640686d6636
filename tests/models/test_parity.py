"""Our SAM against another writing of it, on equal weights: the whole way from pixels to logits."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from another_sam import SMALL, answer, draw, largest_error, pixels, prompts, published

from napari_sam.models import vit
from napari_sam.models.recognition import recognise

TOLERANCE = 1e-5
"""In standard deviations of the reference's answer, both in double precision: random weights
amplify float32's rounding, both are up to 1e-2 off from double (`benchmarks/rounding.py`)."""
IN_SINGLE = 1e-4
"""Of embeddings in float32."""

PLACES = (0.5, 0.9, 0.1, 0.7, 0.3, 0.99)  # of the weight that is changed, in its tensor


def plane(side, seed=0):
    """Return a plane that does not fill the model's square input, (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (side // 16, side // 8, 3)).astype(np.uint8)
    return coarse.repeat(12, 0).repeat(8, 1)[: 3 * side // 4]


def ours(weights):
    return vit.build(recognise(weights), "ours", "cpu")


def in_double(prompt):
    return {
        key: value.astype(np.float64) if value is not None and key != "labels" else value
        for key, value in prompt.items()
    }


@pytest.fixture(scope="module")
def small():
    """The other writing at a small size, and what it answers to every form of prompt."""
    model = draw(SMALL).double()
    with torch.inference_mode():
        embedding = model.get_image_embeddings(pixels(plane(128), 128).double())
    answers = {
        (form, several): answer(model, embedding, in_double(prompt), several)
        for form, prompt in prompts(128).items()
        for several in (True, False)
    }
    weights = {name: value.float() for name, value in published(model).items()}
    return weights, embedding.numpy(), answers


def errors(model, answers, side=128):
    """Yield the larger error of logits and scores for each form of prompt."""
    with torch.inference_mode():
        embedding = model.sam.image_encoder(pixels(plane(side), side).double())
    given = prompts(side)
    for (form, several), (logits, scores) in answers.items():
        prompt = in_double(given[form])
        own_logits, own_scores, _ = model.decode(embedding, multimask_output=several, **prompt)
        yield max(largest_error(logits, own_logits), float(np.abs(scores - own_scores).max()))


def test_the_reference_answers_with_a_spread_that_an_error_can_be_measured_on(small):
    assert min(logits.std() for logits, _ in small[2].values()) >= 1
    assert np.concatenate([scores.ravel() for _, scores in small[2].values()]).std() > 0.1


def test_the_embedding_is_the_references(small):
    weights, embedding, _ = small
    assert largest_error(embedding, ours(weights).encode(plane(128)).numpy()) <= IN_SINGLE


def test_every_form_of_prompt_is_answered_as_by_the_reference(small):
    weights, _, answers = small
    model = ours(weights)
    model.sam.double()
    assert max(errors(model, answers)) <= TOLERANCE


def test_a_single_wrong_weight_of_any_sub_module_is_noticed(small):
    weights, _, answers = small
    model = ours(weights)
    model.sam.double()

    def noticed(flat, place):
        kept = flat[place].clone()
        flat[place] += 1.0
        found = any(error > TOLERANCE for error in errors(model, answers))
        flat[place] = kept
        return found

    # a key's bias adds the same to all of a query's products: softmax does not see it;
    # behind a ReLU that is silent a weight has no effect: of a tensor several are tried
    unnoticed = [
        name
        for name, value in model.sam.state_dict().items()
        if not name.endswith("k_proj.bias")
        and not any(noticed(value.view(-1), int(share * value.numel())) for share in PLACES)
    ]
    assert not unnoticed
    assert max(errors(model, answers)) <= TOLERANCE


@pytest.mark.parametrize("change", [{"window_size": 4}, {"global_attn_indexes": [0, 1, 2]}])
def test_windows_that_fit_and_no_windows_at_all(change):
    model = draw(SMALL | change)
    with torch.inference_mode():
        theirs = model.get_image_embeddings(pixels(plane(128), 128)).numpy()
    assert largest_error(theirs, ours(published(model)).encode(plane(128)).numpy()) <= IN_SINGLE


@pytest.fixture
def all_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_vit_b_at_full_size(all_cores):
    """In double precision the two agree; float32 alone moves random weights' logits by 1e-3."""
    model = draw().double()
    assert model.config.vision_config.hidden_size == 768
    own = ours({name: value.float() for name, value in published(model).items()})
    assert own.image_size == 1024
    image = pixels(plane(1024), 1024).double()
    single = own.encode(plane(1024)).numpy()
    own.sam.double()
    with torch.inference_mode():
        embedding = model.get_image_embeddings(image)
        own_embedding = own.sam.image_encoder(image)
    assert largest_error(embedding.numpy(), single) <= 1e-4
    for form, prompt in prompts(1024).items():
        several = "box" not in form
        given = in_double(prompt)
        logits, scores = answer(model, embedding, given, several)
        assert logits.std() >= 1
        mine, mine_scores, _ = own.decode(own_embedding, multimask_output=several, **given)
        assert largest_error(logits, mine) <= 1e-6, form
        assert np.abs(scores - mine_scores).max() <= 1e-6, form
