"""Prompts on planes: encode once, answer often."""
