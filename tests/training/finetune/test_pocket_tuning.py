"""What `pocket` learns of examples, and what it is kept from forgetting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_examples import blocks

from napari_sam.models.pocket_net import Pocket
from napari_sam.models.registry import reading
from napari_sam.steps import drive
from napari_sam.training.finetune import pocket_tuning
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.pocket_tuning import PocketTuning, chosen, labelled
from napari_sam.training.finetune.replay import moved, replay_images, replay_loss, squares
from napari_sam.training.params import TrainParams
from napari_sam.training.rng import DeviceRandom

PLAN = TrainParams(
    crops=1, rounds=(1,), round_odds=(1.0,), sizes=(64,), size_odds=(1.0,), earlier=0.0
)


@pytest.fixture(scope="module")
def shipped():
    return drive(reading("pocket"))


def example(labels, name="a", **facts):
    labels = np.array(labels, np.int32)
    return Example(name, np.zeros(labels.shape, np.uint8), labels, **facts)


def test_labels_are_numbered_anew_and_unknown_ground_is_marked():
    complete = np.array([[True, True, False, False]] * 2)
    given = [[0, 70000, 0, 5], [0, 0, 5, 0]]
    (whole,) = labelled([example(given)])
    assert whole.labels.tolist() == [[0, 2, 0, 1], [0, 0, 1, 0]]
    assert whole.exhaustive
    (partly,) = labelled([example(given, complete=complete)])
    assert partly.labels.tolist() == [[0, 2, -1, 1], [0, 0, 1, -1]]
    assert partly.exhaustive
    (sparse,) = labelled([example(given, complete=~complete & complete)])
    assert sparse.labels.tolist() == [[-1, 2, -1, 1], [-1, -1, 1, -1]]
    assert not sparse.exhaustive


def test_planes_of_a_stack_keep_equal_labels_equal():
    planes = [
        example([[9, 0, 4]], stack="s", place=3),
        example([[0, 0, 9]], stack="s", place=4),
        example([[0, 9, 9]], stack=""),
    ]
    first, second, alone = labelled(planes)
    assert first.labels.tolist() == [[2, 0, 1]]
    assert second.labels.tolist() == [[0, 0, 2]]
    assert alone.labels.tolist() == [[0, 1, 1]]
    assert [(item.stack, item.place) for item in (first, second)] == [("s", 3), ("s", 4)]
    assert not alone.stack


def test_of_more_objects_than_there_are_numbers_the_last_are_unknown_ground():
    many = np.arange(2100, dtype=np.int32).reshape(42, 50)
    first, other = labelled([example(many, stack="s"), example([[7]], stack="s", place=1)])
    assert first.labels.max() == 2047
    assert int((first.labels == -1).sum()) == 2099 - 2047
    assert first.stack == other.stack == ""  # a number of one is another object in the other
    assert other.labels.tolist() == [[1]]


def test_heads_are_a_part_of_all():
    pocket = Pocket()
    everything, heads = chosen(pocket, "all"), chosen(pocket, "heads")
    assert everything.keys() == dict(pocket.named_parameters()).keys()
    assert heads.keys() < everything.keys()
    assert {"encoder.stem.0.1.weight", "decoder.maps4.1.bias"} <= heads.keys()  # normalisations
    assert "encoder.stem.0.0.weight" not in heads
    for start in pocket_tuning.HEADS:
        assert any(name.startswith(start) for name in heads), start
    with pytest.raises(ValueError, match="not in 'tails'"):
        chosen(pocket, "tails")


def test_a_batch_comes_from_the_seed_and_its_number(shipped):
    item = blocks("a", (80, 80))
    examples = [Example("a", item.image, item.labels)]

    def loss(seed, index):
        return float(
            PocketTuning(shipped, examples, "all", seed, 0.0, PLAN).loss(index)[0].detach()
        )

    assert loss(0, 3) == loss(0, 3)
    assert len({loss(0, 3), loss(0, 4), loss(1, 3)}) == 3


def test_ground_that_is_not_known_teaches_nothing(shipped):
    item = blocks("a", (80, 80))
    one = np.where(item.labels == 1, 1, 0).astype(np.int32)

    def pull(complete):
        """Return the gradient of the instance head's last layer at foreground."""
        tuning = PocketTuning(
            shipped, [Example("a", item.image, one, complete)], "all", 0, 0.0, PLAN
        )
        tuning.loss(0)[0].backward()
        return tuning.learnt()["encoder.instance_head.1.bias"].grad[0]

    everywhere = pull(None)
    nowhere = pull(np.zeros(one.shape, bool))
    assert everywhere > nowhere  # three blocks without a label are background, or not known


def test_too_many_pixels_are_refused(shipped, monkeypatch):
    monkeypatch.setattr(pocket_tuning, "MOST_PIXELS", 5000)
    item = blocks("a", (80, 80))
    with pytest.raises(ValueError, match="leave some of them out"):
        PocketTuning(shipped, [Example("a", item.image, item.labels)])


def test_the_model_is_a_copy(shipped):
    item = blocks("a", (80, 80))
    tuning = PocketTuning(shipped, [Example("a", item.image, item.labels)], plan=PLAN)
    model = tuning.model()
    with torch.no_grad():
        for value in tuning.learnt().values():
            value.add_(1.0)
    name = "encoder.stem.0.0.weight"
    torch.testing.assert_close(
        model.pocket.state_dict()[name], shipped.tensors[name].read().float()
    )
    assert not torch.equal(tuning.weights()[name], model.pocket.state_dict()[name])


# --- the replay --------------------------------------------------------------------------------


def test_masks_that_stayed_cost_nothing_and_others_what_dice_says():
    one, other = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    one[:, :, :2] = 1
    other[:, 0, :2] = 1
    other[:, 1, 1:3] = 1  # half of it
    assert moved(one, other).tolist() == [[0.0, pytest.approx(0.5)]]


def test_squares_have_one_side_in_each_quarter():
    labels = squares((512, 400))
    assert labels[0, 0] == 1
    assert labels.min() == 1
    _, counts = np.unique(labels[:256, :200], return_counts=True)
    assert counts.max() == 24 * 24
    quarters = [labels[:256, :200], labels[:256, 200:], labels[256:, :200], labels[256:, 200:]]
    sets = [set(np.unique(quarter)) for quarter in quarters]
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_the_images_of_the_replay_are_part_of_what_is_installed(monkeypatch):
    replay_images.cache_clear()
    monkeypatch.setattr("socket.socket.connect", None)
    images = replay_images()
    assert len(images.count) == 36
    assert not images.exhaustive.any()
    assert images.size[0].max() <= 512


def test_the_replay_pulls_weights_that_moved_back():
    torch.manual_seed(0)
    before, model = Pocket(), Pocket()
    model.load_state_dict(before.state_dict())
    model.encoder.instance_head[1].bias.data[1] += 0.5  # the field points to the right everywhere

    def loss(own):
        return replay_loss(own, before, 2, 64, (0.0, 0.0), DeviceRandom(5))

    found = loss(model)
    found.backward()
    assert model.encoder.instance_head[1].bias.grad[1] > 0
    assert float(found.detach()) > float(loss(before).detach()) + 0.5
