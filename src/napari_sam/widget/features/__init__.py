"""The parts of the dock, a folder each: a panel (setters in, signals out) and its logic."""
