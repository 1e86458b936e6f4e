from __future__ import annotations

import numpy as np
import pytest

from lookalike.report.curves import charts
from lookalike.report.plots import draw_charts, ticks


def _train(step: int, epoch: int, **values: float) -> dict:
    return {"kind": "train", "epoch": epoch, "step": step, **values}


def _test(step: int, epoch: int, split: str = "test", **values: float) -> dict:
    return {"kind": "evaluation", "epoch": epoch, "step": step, "split": split, "values": values}


def test_steps_become_epochs_even_when_epochs_differ_in_length() -> None:
    rows = [_test(0, 0, recall_at_1=0.1)]
    rows += [_train(step, 1 if step <= 4 else 2, loss=1.0) for step in range(1, 13)]
    rows += [_test(4, 1, recall_at_1=0.2), _test(12, 2, recall_at_1=0.3)]
    loss, metrics = charts(rows)
    np.testing.assert_allclose(loss.lines[0].x, [0.25, 0.5, 0.75, 1, *np.arange(9, 17) / 8])
    assert metrics.lines[0].x == [0, 1, 2]
    assert metrics.lines[0].y == [0.1, 0.2, 0.3]
    assert loss.epochs == metrics.epochs == 2


def test_the_last_word_on_a_step_counts() -> None:
    rows = [_train(1, 1, loss=5.0), _train(2, 1, loss=4.0), _train(2, 1, loss=3.0)]
    assert charts(rows)[0].lines[0].y == [5.0, 3.0]


def test_every_part_of_the_loss_is_drawn_and_the_rate_comes_last() -> None:
    rows = [_train(s, 1, loss=1.0, lr=0.1, **{"loss/sup_ap": 0.5}) for s in (1, 2)]
    rows += [_test(2, 1, "val", ndcg=0.5), _test(2, 1, "test", ndcg=0.5)]
    drawn = charts(rows)
    titles = [chart.title for chart in drawn]
    assert titles == ["Training loss", "Metrics on val", "Metrics on test", "Learning rate"]
    assert [line.name for line in drawn[0].lines] == ["loss", "loss/sup_ap"]


def test_values_that_are_not_finite_are_counted() -> None:
    rows = [
        _train(1, 1, loss=1.0),
        _train(2, 1, loss=float("nan")),
        _train(3, 1, loss=float("inf")),
    ]
    (chart,) = charts(rows)
    assert chart.lines[0].y == [1.0]
    assert chart.note == "2 values that were not finite are left out."
    (nothing,) = charts(rows[1:])
    assert nothing.lines == [] and "2 values" in draw_charts([nothing])


def test_long_curves_keep_their_mean_and_their_extremes() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    rows = [_train(i + 1, 1, loss=float(v)) for i, v in enumerate(values)]
    line = charts(rows, bins=100)[0].lines[0]
    assert len(line.x) == 100
    assert np.mean(line.y) == pytest.approx(values.mean())
    assert min(line.low or []) == values.min() and max(line.high or []) == values.max()
    # Seventy values make no hundred averages: fewer than four each would only thin the noise.
    assert len(charts(rows[:70], bins=50)[0].lines[0].x) == 17


def test_no_rows_no_charts() -> None:
    assert charts([]) == []


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.3, 0.31), (-5, 17), (0, 1e-4), (0, 123456), (1e-9, 2e-9)]
)
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in found)
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0])
    assert float(f"{steps[0]:.6e}".split("e")[0]) in (1, 2, 5)


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [3.0, 3.0], [-1.0, 2.0], [1e-7, 2e-7]])
def test_odd_curves_can_be_drawn(values: list[float]) -> None:
    rows = [_train(i + 1, 1, loss=value) for i, value in enumerate(values)]
    rows += [_test(1, 1, recall_at_1=values[0])]
    for chart in charts(rows):
        drawn = draw_charts([chart])
        assert "nan" not in drawn and "inf" not in drawn and 'role="img"' in drawn
