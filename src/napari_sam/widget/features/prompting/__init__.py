"""Clicks and boxes: prompts, answers, objects kept."""
