"""The objects in work: what was asked and answered of them, and where they were followed to."""
