"""lookalike: train, evaluate and serve models that find look-alike images.

Importing this package imports nothing heavy; the public names load when first used.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
