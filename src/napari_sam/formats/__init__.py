"""Files of labels and of objects."""
