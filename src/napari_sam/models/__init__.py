"""Model families: everything that knows torch at prediction time."""
