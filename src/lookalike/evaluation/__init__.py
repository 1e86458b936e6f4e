"""A model and a table in, a measured split out."""
