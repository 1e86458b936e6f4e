"""Which images meet in a batch. Every sampler plans a whole epoch from (seed, epoch) alone.

A plan is the same on every process; process r of k takes the r-th slice of each global batch. So
k processes with b images each see what one process with k·b sees, and a resumed run sees what
an unbroken one would have seen.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
