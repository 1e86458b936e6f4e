from .create import create_model as create_model
from .embedder import Embedder as Embedder
from .weights import load as load
from .weights import save as save
from .whitening import learned_whitening as learned_whitening
from .whitening import pca_whitening as pca_whitening
