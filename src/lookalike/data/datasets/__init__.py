"""Data sets: each is a function from a folder or file to a `Table`.

The names load on first use, so that listing them costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
