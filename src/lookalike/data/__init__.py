"""Data: every source becomes one table; samplers, transforms and loaders read that table.

Every data set of `lookalike.data.datasets` is reached here as well, and loads on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
