"""The objects of a layer: listed, classed, finished, found again."""
