"""The YAML of the program: differences only; defaults live in config.py and in signatures."""
