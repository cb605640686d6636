"""Everything mode."""
