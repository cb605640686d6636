"""Training of promptable models from label images."""
