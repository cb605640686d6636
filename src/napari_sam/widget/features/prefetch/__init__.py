"""Planes encoded before anybody asks."""
