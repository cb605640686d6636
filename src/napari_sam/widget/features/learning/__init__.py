"""The model learns from kept objects."""
