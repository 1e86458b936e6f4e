"""Pure tensor functions: similarity tiles, exact ranks, soft ranks. No state, no files."""
