"""Classes nobody labelled: kNN graphs, Hi-LANDER and its rivals, selection, pseudo-labels.

Embeddings in, clusters and pseudo-labels out; images and networks that embed them are the jobs'
affair. The names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
