"""Objects in work are followed through a stack."""
