"""Training: the loop, its step, optimisers and checkpoints."""
