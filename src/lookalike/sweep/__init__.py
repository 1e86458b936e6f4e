"""A search space, and the study that tries it."""
