"""Labelled images of any form as training sets of other systems."""
