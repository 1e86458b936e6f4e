"""Run under torchrun by test_sharding.py: evaluate, and print the report's bytes as a digest."""

import hashlib
import sys

import numpy as np
import torch

from lookalike import distributed
from lookalike.metrics import RetrievalMetrics, evaluate


def digest(report):
    whole = hashlib.sha256()
    for name in report.values:
        whole.update(name.encode() + report.per_query[name].tobytes())
        whole.update(np.float64(report.values[name]).tobytes())
    return whole.hexdigest()


def main():
    torch.set_num_threads(1)
    distributed.start()
    random = np.random.default_rng(0)
    size = int(sys.argv[1])
    labels = np.stack([np.arange(size) // 4, np.arange(size) // 12], axis=1)
    x = (np.eye(size)[labels[:, 0]] + 0.3 * random.standard_normal((size, size))).astype("f4")
    whole = digest(evaluate(x, labels))
    # Collected in parts, of which a process may have none.
    mine = np.array_split(np.arange(size), distributed.world_size())[distributed.rank()]
    collected = RetrievalMetrics()
    collected.update(x[mine], labels[mine])
    assert digest(collected.report()) == whole
    print(f"digest {whole}", flush=True)
    distributed.stop()


if __name__ == "__main__":
    main()
