"""Images: formats to arrays, and planes to what a model takes."""
