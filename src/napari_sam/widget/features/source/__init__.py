"""Image, model, device, and the layer that objects go to."""
