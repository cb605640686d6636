"""Encoding of planes in advance."""
