"""A folder or list of images that are annotated one after the other."""
