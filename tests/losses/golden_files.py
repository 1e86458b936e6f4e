"""Reading the golden numbers: what the original systems gave, in float64."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parents[1] / "golden"


def load(path: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{path}.npz", allow_pickle=False) as file:
        return dict(file)


def cases(path: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The numbered cases of a file, with a plain name for each array."""
    file = load(path)
    for number in range(int(file["n_cases"])):
        prefix = f"c{number}_"
        yield (
            number,
            {k.removeprefix(prefix): v for k, v in file.items() if k.startswith(prefix)},
        )


def settings(case: dict[str, np.ndarray], *names: str) -> dict[str, float | None]:
    """Hyper-parameters by name; NaN stands for None."""
    values = {name: float(case[f"hp_{name}"]) for name in names}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def value_and_gradient(loss, case, x="embeddings", labels="labels"):
    """The loss of a case and its gradient, with the case's reference set if it has one."""
    embeddings = torch.tensor(case[x], requires_grad=True)
    reference = {}
    if "ref_embeddings" in case:
        reference = {
            "ref_emb": torch.tensor(case["ref_embeddings"]),
            "ref_labels": torch.tensor(case["ref_labels"]),
        }
    value = loss(embeddings, torch.tensor(case[labels]), **reference)
    value.sum().backward()
    return value.detach().numpy(), embeddings.grad.numpy()


def assert_close(value, expected, rtol, atol=0.0):
    """Equal to ``rtol`` of the largest entry; below ``atol`` every number is called zero."""
    scale = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(value, expected, rtol=0, atol=rtol * scale + atol)
