"""Rules: thresholds and sizes for other images, as files."""

from __future__ import annotations

import json

import pytest

from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.rules import ENDING, Rule, read_rule, rules_in, write_rule

PARAMS = AmgParams(pred_iou_thresh=0.7, seeds="auto", min_area=100, max_area=400)


def test_sizes_are_those_of_the_object_whatever_the_pixels_are():
    rule = Rule.of(PARAMS, 0.25)
    assert (rule.least_size, rule.greatest_size, rule.unit) == (25.0, 100.0, "µm²")
    assert rule.params_for(0.25) == PARAMS
    finer = rule.params_for(0.0625)
    assert (finer.min_area, finer.max_area) == (400, 1600)
    assert rule.params_for(1000.0).max_area == 1  # 0 would be no limit
    with pytest.raises(ValueError, match="how large a pixel"):
        rule.params_for(None)
    with pytest.raises(ValueError, match="min_area lies between"):
        rule.params_for(1e-320)


def test_sizes_in_pixels_and_rules_without_sizes_hold_everywhere():
    rule = Rule.of(PARAMS, None)
    assert rule.unit == "px"
    assert rule.params_for(0.25) == rule.params_for(None) == PARAMS
    free = Rule.of(AmgParams(), 0.25)
    assert free.params_for(None) == AmgParams()


def test_a_file_brings_a_rule_back(tmp_path):
    rule = Rule.of(PARAMS, 0.25, only_new=False, all_planes=True)
    path = tmp_path / "rules" / f"nuclei{ENDING}"
    write_rule(rule, path)
    assert read_rule(path) == rule
    write_rule(Rule(), path.with_name(f"All{ENDING}"))
    assert list(rules_in(path.parent)) == ["All", "nuclei"]
    assert rules_in(tmp_path / "nothing") == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "no rule"),
        ({"version": 2}, "version 2"),
        ({"params": {"seeds": "sometimes"}}, "seeds is one of"),
        ({"params": {"pred_iou_thresh": 2}}, "between 0.0 and 1.0"),
        ({"params": {"min_area": 2}}, "by name"),
        ({"params": []}, "by name"),
        ({"least_size": -1}, "0 or more"),
        ({"greatest_size": "big"}, "is a number"),
        ({"greatest_size": float("inf")}, "0 or more"),
        ({"greatest_size": 10**400}, "0 or more"),
        ({"unit": "mm"}, "µm²"),
        ({"only_new": 1}, "true or false"),
    ],
)
def test_wrong_files_are_refused(tmp_path, change, sentence):
    path = tmp_path / f"rule{ENDING}"
    write_rule(Rule(), path)
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | change), encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        read_rule(path)


def test_files_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / f"rule{ENDING}"
    with pytest.raises(ValueError, match="cannot be read"):
        read_rule(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="no rule"):
        read_rule(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="no rule"):
        read_rule(path)
