"""Objects as surfaces in the 3-D view."""
