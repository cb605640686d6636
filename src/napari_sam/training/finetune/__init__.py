"""Fine-tuning on labelled images of the user, and the proof that it helped."""
