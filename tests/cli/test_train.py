"""`napari-sam audit` and `napari-sam train`."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import DiscModel, SceneModel, discs

from napari_sam.cli import parser as cli
from napari_sam.cli.train import sight_of
from napari_sam.models.adapters import write_tuned
from napari_sam.models.cards import Card, read_card
from napari_sam.models.registry import bundled_path, find_spec
from napari_sam.training.finetune import proven
from napari_sam.training.finetune.seen import POCKET, Sight
from napari_sam.training.finetune.training_folder import LOCK, locked
from napari_sam.training.finetune.tune_params import Estimate, TuneStep
from napari_sam.types import Progress

SHAPE = (96, 128)


class Discs(DiscModel):
    """Answers the first point, or the middle of the box, with a small disc."""

    def decode(self, features, coords, labels, boxes, *given):
        if boxes is not None and not coords.shape[1]:
            coords = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        return super().decode(features, coords, labels, boxes, *given)


@pytest.fixture
def data(tmp_path):
    """A folder of eight images with three labelled discs each."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(8):
        x = rng.integers([14, 54, 94], [34, 74, 114])
        y = rng.integers(14, 82, 3)
        image, labels = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint16)
        for label, place in enumerate(zip(x, y, strict=True), start=1):
            disc = discs(SHAPE, [place], 9)
            image |= disc
            labels[disc > 0] = label
        tifffile.imwrite(folder / f"plane{k}.tif", image)
        tifffile.imwrite(folder / f"plane{k}_labels.tif", labels)
    return folder


class Training:
    """Stands for the training: writes a file, and says which models are compared then."""

    def __init__(self):
        self.before, self.after = Discs(3.0), SceneModel()
        self.interrupts = 0
        self.expected = "auto", None
        self.kept = 1
        self.calls = []

    def tuning(self, base, learn, held_out, params, folder, *, device, offline):
        assert (device, offline) == self.expected
        there = sorted(path for path in folder.iterdir() if path.name != LOCK)
        self.calls.append((base, len(learn), len(held_out), params, there))
        yield Progress(0, 0, "preparing the images")
        yield TuneStep(0, 0.0, 0.0, 0.0, 120.0, 0.5)
        (folder / "state.pt").touch()
        for _ in range(self.interrupts):
            signal.raise_signal(signal.SIGINT)
        yield TuneStep(1, 2.5, 0.4, 61.0, 59.0, 0.6)
        card = Card(
            str(base), "fingerprint of the base", "of the data",
            {"kept_after_step": self.kept}, version="1",
        )  # fmt: skip
        path = folder / "best.safetensors"
        write_tuned(path, {"bias": torch.zeros(3)}, card)
        return path

    def loading(self, name, device, offline):
        yield Progress(0, 0, f"loading {name}")
        return self.before if name == "pocket" else self.after


@pytest.fixture
def training(monkeypatch):
    stand_in = Training()
    monkeypatch.setattr(proven, "tuning", stand_in.tuning)
    monkeypatch.setattr(proven, "loading", stand_in.loading)

    def estimate(*given, device, offline):
        assert (device, offline) == stand_in.expected
        return Estimate(300.0, 100, 1_500_000_000, 200_000_000)

    monkeypatch.setattr("napari_sam.training.finetune.estimating.estimate", estimate)
    return stand_in


@pytest.fixture
def run(capsys):
    """Return what runs a command, and returns its exit status, stdout and stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_better_model_is_written_with_its_figures(run, training, data, tmp_path):
    target, picture = tmp_path / "discs.safetensors", tmp_path / "changed.png"
    code, out, err = run("train", data, "-o", target, "--minutes", 2, "--figure", picture)
    assert code == 0
    assert "The trained model is better: IoU after 1 click rises from 0." in out
    assert out.splitlines()[-1].startswith(f"{target}: 0.0 MB; use it with --model {target}")
    assert "2 of 8 images or stacks are held out, 6 of 24 objects" in err
    estimate = "takes about 5 minutes and 1.5 GB of memory, 200 MB of it for the images; the "
    assert f"{estimate}comparison may take more" in err
    assert "step 0: held-out IoU 0.500, 2:00 left" in err
    card = read_card(target)
    assert card.figures["better"] is True
    assert 0.9 < card.figures["1 click"][1] <= 1
    assert card.base == "pocket"
    assert names_in(tmp_path / "discs.training") == [LOCK]
    assert Image.open(picture).size[0] > 400
    ((base, learnt, held_out, params, _),) = training.calls
    assert (base, learnt, held_out) == ("pocket", 6, 2)
    assert (params.minutes, params.steps, params.part) == (2.0, None, None)


def test_too_few_objects_to_judge_are_told_before(run, training, data, tmp_path):
    code, _, err = run("train", data, "-o", tmp_path / "discs.safetensors", "--most", 4)
    assert code == 1
    assert "3 objects will judge the result, but at least 6 are needed" in err
    assert err.index("label about 12 more") < err.index("step 0")


def test_a_model_that_is_not_better_is_not_written(run, training, data, tmp_path):
    target, folder = tmp_path / "discs.safetensors", tmp_path / "discs.training"
    training.after, training.kept = Discs(3.0), 0
    given = "train", data, "-o", target, "--figure", tmp_path / "changed.png"
    code, out, _ = run(*given)
    assert code == 1
    assert "No weights of the training were better than the base's on the held-out images." in out
    assert (tmp_path / "changed.png").exists()
    assert "The trained model is not taken: it answers as well where the image is turned" in out
    assert out.endswith(f"with --resume --keep-anyway writes {target} all the same.\n")
    assert not target.exists()
    assert (folder / "best.safetensors").exists()
    code, out, _ = run(*given, "--resume", "--keep-anyway")
    assert code == 0
    assert "The trained model is not taken" in out
    assert read_card(target).figures["better"] is False
    assert names_in(folder) == [LOCK]


@pytest.mark.parametrize("presses", [1, 2])
def test_an_interruption_says_how_to_go_on(run, training, data, tmp_path, presses):
    target, folder = tmp_path / "discs.safetensors", tmp_path / "discs.training"
    training.interrupts = presses
    code, out, err = run("train", data, "-o", target)
    assert code == 130
    assert out == ""
    assert "stopping after this step; Ctrl+C once more stops at once" in err
    assert ("step 1: held-out IoU 0.600, 0:59 left" in err) == (presses == 1)
    assert f"the best so far is in {folder}; the same command with --resume goes on" in err
    assert err.endswith("napari-sam: interrupted\n")
    assert names_in(folder) == ["state.pt", LOCK]
    training.interrupts = 0
    code, _, err = run("train", data, "-o", target)
    assert code == 2
    assert f"{folder} holds an earlier training; go on with it with --resume" in err
    assert run("train", data, "-o", target, "--resume")[0] == 0
    assert [path.name for path in training.calls[-1][-1]] == ["state.pt"]


@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--resume",)])
def test_a_folder_in_which_another_program_trains_is_left_alone(
    run, training, data, tmp_path, flags
):
    folder = tmp_path / "discs.training"
    with locked(folder):
        (folder / "state.pt").touch()
        code, out, err = run("train", data, "-o", tmp_path / "discs.safetensors", *flags)
        assert (code, out) == (2, "")
        assert f"another program trains in {folder}; wait until it has ended" in err
        assert (folder / "state.pt").exists()
    assert not training.calls


def test_overwrite_begins_anew(run, training, data, tmp_path):
    target, folder = tmp_path / "discs.safetensors", tmp_path / "discs.training"
    folder.mkdir()
    (folder / "state.pt").touch()
    assert run("train", data, "-o", target, "--overwrite")[0] == 0
    assert training.calls[0][-1] == []


@pytest.mark.parametrize("flag", ["--overwrite", "--resume"])
def test_files_of_the_user_are_never_removed(run, training, data, tmp_path, flag):
    target, folder = tmp_path / "discs.safetensors", tmp_path / "discs.training"
    folder.mkdir()
    for name in ("state.pt", "thesis.txt"):
        (folder / name).touch()
    code, _, err = run("train", data, "-o", target, flag)
    assert code == 2
    assert f"{folder} is where checkpoints go, but it holds thesis.txt; move that away" in err
    (folder / "thesis.txt").unlink()
    (folder / "embeddings").mkdir()
    (folder / "embeddings" / "thesis.txt").touch()
    assert run("train", data, "-o", target, flag)[0] == 0
    assert names_in(folder) == ["embeddings", LOCK]
    assert names_in(folder / "embeddings") == ["thesis.txt"]


def test_an_earlier_training_stays_until_the_next_can_begin(run, training, data, tmp_path):
    folder = tmp_path / "discs.training"
    folder.mkdir()
    (folder / "best.safetensors").touch()
    given = "train", tmp_path / "nothing", "-o", tmp_path / "discs.safetensors", "--overwrite"
    assert run(*given)[0] == 2
    assert (folder / "best.safetensors").exists()


@pytest.mark.parametrize("part", [".", "plane0.tif"])
def test_what_is_learnt_from_is_no_place_for_checkpoints(run, training, data, tmp_path, part):
    folder = data.rename(tmp_path / "discs.training")
    target = tmp_path / "discs.safetensors"
    code, _, err = run("train", folder / part, "-o", target, "--overwrite")
    assert code == 2
    assert "is learnt from; choose another name for the result" in err
    assert len(list(folder.iterdir())) == 16


def test_the_device_and_offline_hold_for_the_training(run, training, data, tmp_path):
    training.expected = "cpu", True
    target = tmp_path / "discs.safetensors"
    assert run("train", data, "-o", target, "--device", "cpu", "--offline")[0] == 0


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-o", "discs.pth"), "a tuned model is written as .safetensors, but is called"),
        (("--base", "nothing"), "no model is called 'nothing'; choose one of"),
        (("--minutes", "0"), "training lasts more than 0 and less than a million minutes"),
        (("--minutes", "inf"), "less than a million minutes, but minutes is inf"),
        (("--most", "0"), "at least 1 file is read, but most is 0"),
        (("--held-out", "1"), "the held-out share lies between 0 and 1, but is 1.0"),
        (("--figure", "x.jpg"), "the picture is written as .png, but is called x.jpg"),
    ],
)
def test_wrong_arguments_are_one_sentence(run, training, data, tmp_path, flags, text):
    code, out, err = run("train", data, "-o", tmp_path / "discs.safetensors", *flags)
    assert (code, out) == (2, "")
    assert text in err.splitlines()[-1]
    assert names_in(tmp_path / "discs.training") in ([], [LOCK])
    assert not training.calls


def test_a_model_sees_what_its_family_sees(tmp_path):
    tensors = {
        "pocket": "encoder.stem.0.0.weight",
        "vit": "image_encoder.blocks.0.attn.rel_pos_h",
        "adapters": "image_encoder.blocks.0.attn.qkv.down",
    }
    for name, tensor in tensors.items():
        card = Card("base.safetensors", "", "", {}, version="1")  # which is not there
        write_tuned(tmp_path / f"{name}.safetensors", {tensor: torch.zeros(3)}, card)
    save_file({tensors["pocket"]: torch.zeros(3)}, tmp_path / "bare.safetensors")
    assert sight_of("pocket") == sight_of(str(bundled_path(find_spec("pocket")))) == POCKET
    for name in ("pocket", "bare"):
        assert sight_of(str(tmp_path / f"{name}.safetensors")) == POCKET
    assert sight_of("vit_b") == Sight()
    for name in ("vit.safetensors", "adapters.safetensors", "none.pth"):
        assert sight_of(str(tmp_path / name)) == Sight()


def test_the_audit_is_a_text_and_a_picture(run, data, tmp_path):
    labels = tifffile.imread(data / "plane3_labels.tif")
    labels[2:4, 2:4] = 9
    tifffile.imwrite(data / "plane3_labels.tif", labels)
    code, out, _ = run("audit", data, "--figure", tmp_path / "audit.png")
    assert code == 0
    assert "plane3" in out
    assert Image.open(tmp_path / "audit.png").size[0] > 100


def test_what_the_audit_found_can_be_left_out(run, training, data, tmp_path):
    tifffile.imwrite(data / "plane8.tif", tifffile.imread(data / "plane3.tif"))
    tifffile.imwrite(data / "plane8_labels.tif", tifffile.imread(data / "plane3_labels.tif"))
    target = tmp_path / "discs.safetensors"
    code, _, err = run("train", data, "-o", target, "--leave-out", "duplicate")
    assert code == 0
    assert "of 8 images or stacks are held out" in err


@pytest.mark.slow
def test_pocket_learns_from_two_steps(run, data, tmp_path):
    target = tmp_path / "discs.safetensors"
    given = ("--steps", 2, "--threads", 1, "--most", 4, "--keep-anyway", "--device", "cpu")
    code, out, err = run("train", data, "-o", target, *given)
    assert code == 0, err
    assert "everything AP50" in out
    card = read_card(target)
    assert card.base == "pocket"
    assert card.settings["steps"] == 2
    code, out, _ = run("models", "--model", target)
    assert code == 0
    assert f"{target} loads: it is a model that sees 512 px\nbase: pocket\n" in out
    assert "figures: 1 click: 0." in out
