from .hits import Hits as Hits
from .index import Index as Index
