from . import data as data
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import search as search
from .data.table import Table as Table
from .metrics import evaluate as evaluate
from .models import Embedder as Embedder
from .models import create_model as create_model
from .models import load as load
from .search import Index as Index
from .training.api import train as train
from .training.callback import Callback as Callback
from .training.result import TrainingResult as TrainingResult

__version__: str
