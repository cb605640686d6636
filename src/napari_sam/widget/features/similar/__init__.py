"""Objects like given ones are found, proposed, and accepted or rejected by key."""
