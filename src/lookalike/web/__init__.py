"""The page and its HTTP API over one index; needs ``pip install 'lookalike[serve]'``."""
