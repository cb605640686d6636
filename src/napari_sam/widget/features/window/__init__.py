"""Windows of computed tomography: which Hounsfield units are shown black and white."""
