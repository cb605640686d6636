"""Kept objects are edited: split, merged, grown, smoothed, cleaned, refined by the model."""
