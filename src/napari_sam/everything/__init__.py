"""Everything mode: every object of a plane."""
