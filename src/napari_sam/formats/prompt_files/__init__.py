"""Prompts of other systems: one file for each form, behind the value in `contract`."""
