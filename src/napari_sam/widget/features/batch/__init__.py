"""A layer of the viewer as prompts: each point, shape or label is an object of its own."""
