"""Metrics: exact retrieval numbers on arrays, each with its definition.

The names load on first use, so that explaining a metric does not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
