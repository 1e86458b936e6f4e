"""Data: every source becomes one table; samplers, transforms and loaders read that table."""
