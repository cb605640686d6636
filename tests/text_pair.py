"""Models of images and words for tests: of random weights in a folder, and one that knows."""

from __future__ import annotations

import json

import numpy as np
import torch

TEMPLATE_WORDS = ("a", "photo", "of", "microscopy", "image")
WORDS = ("bright", "dark", "round", "cell")


def write_tokenizer(folder):
    """Write a tokenizer of whole words; return how many it knows."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<bos>", "<eos>", *TEMPLATE_WORDS, *WORDS]
    own = Tokenizer(WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    own.pre_tokenizer = Whitespace()
    own.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 3)]
    )
    names = ("pad", "unk", "bos", "eos")
    tokens = {f"{name}_token": f"<{name}>" for name in names}
    PreTrainedTokenizerFast(tokenizer_object=own, **tokens).save_pretrained(folder)
    return len(words)


def write_model(folder, kind="clip"):
    """Write a CLIP or SigLIP of random weights as they are published; return it."""
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    width = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    words = {
        **width, "vocab_size": write_tokenizer(folder), "max_position_embeddings": 12,
        "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0,
    }  # fmt: skip
    images = {**width, "image_size": 24, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "clip":
            model = CLIPModel(CLIPConfig(text_config=words, vision_config=images, projection_dim=8))
        else:
            words["projection_size"] = 16
            model = SiglipModel(SiglipConfig(text_config=words, vision_config=images))
        for parameter in model.parameters():  # those of transformers differ too little
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    settings = {
        "image_mean": [0.4, 0.52, 0.6], "image_std": [0.2, 0.25, 0.3], "resample": 3,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": 24},
        "crop_size": {"height": 24, "width": 24},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return model.eval()


class Knows:
    """Sees how much brighter an object is than its ground; "bright" and "dark" are words of it."""

    ground = (100, 100, 100)

    def __init__(self):
        self.seen = self.asked = 0

    def embed_images(self, images):
        self.seen += len(images)
        brightness = [float(np.mean(one)) / 255 - 100 / 255 for one in images]
        return np.array([[np.cos(2 * b), np.sin(2 * b)] for b in brightness], np.float32)

    def embed_text(self, words):
        self.asked += 1
        sign = {"bright": 1, "dark": -1}[words]
        return np.array([0, sign], np.float32)
