"""Where results go that are too large for memory."""
