from .greedy import GreedyMPerClassSampler as GreedyMPerClassSampler
from .grouped import GroupedSampler as GroupedSampler
from .hierarchical import HierarchicalSampler as HierarchicalSampler
from .m_per_class import MPerClassSampler as MPerClassSampler
from .shuffled import RandomSampler as RandomSampler
