"""Training sets of other systems: one file for each, behind the contract in `contract`."""
