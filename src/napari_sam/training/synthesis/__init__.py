"""Synthetic labelled images: objects cut from labelled images, on ground without objects."""
