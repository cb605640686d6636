"""Work of a session that ended without saving is found again and restored."""
