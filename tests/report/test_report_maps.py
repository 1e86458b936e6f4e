from __future__ import annotations

import re

import numpy as np
import pytest

from lookalike.errors import LookalikeError, NumericsError
from lookalike.report import map_embeddings
from lookalike.report.map_plot import THUMB, draw_map


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), 12)
    return rng.normal(size=(6, 80))[labels] * 2 + rng.normal(size=(72, 80)), labels


def test_tsne_keeps_clusters_together_and_repeats_itself(clusters) -> None:
    x, labels = clusters
    plane, again = map_embeddings(x, labels), map_embeddings(x, labels)
    assert plane.points.tobytes() == again.points.tobytes()
    distance = np.linalg.norm(plane.points[:, None] - plane.points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.95
    assert plane.points.min() >= -1e-9
    assert plane.points.max() <= 1 + 1e-9
    assert "t-SNE" in plane.method


def test_pca_equals_the_singular_vectors(clusters) -> None:
    x, labels = clusters
    plane = map_embeddings(x, labels, method="pca")
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    slow = u[:, :2] * s[:2]
    fast = (plane.points - 0.5) * np.ptp(slow, axis=0).max()
    fast -= fast.mean(axis=0)
    np.testing.assert_allclose(np.abs(fast), np.abs(slow), atol=1e-8)


def test_too_many_points_leave_whole_classes(clusters) -> None:
    x, labels = clusters
    plane = map_embeddings(x, labels, method="pca", max_points=40, seed=1)
    assert len(plane.rows) == 36
    assert np.bincount(plane.labels, minlength=6).tolist().count(12) == 3
    assert (labels[plane.rows] == plane.labels).all()
    assert plane.total == 72
    other = map_embeddings(x, labels, method="pca", max_points=40, seed=2)
    assert set(plane.names) != set(other.names)
    assert len(map_embeddings(x, np.zeros(72), method="pca", max_points=10).rows) == 10
    assert "36 of 72 embeddings" in draw_map(plane)


def test_the_largest_classes_are_named() -> None:
    labels = [5] * 3 + [2] * 6 + [9] * 6 + [1]
    plane = map_embeddings(np.eye(16), labels, method="pca", named=2, names="abcdefghij")
    assert plane.largest == [2, 9]
    drawn = draw_map(plane)
    assert drawn.count("<title>") == 4
    assert ">c</text>" in drawn and ">j</text>" in drawn and ">f</text>" not in drawn


def test_a_scattered_class_is_named_where_it_has_points() -> None:
    """The middle of a ring has none."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([2 * np.cos(turn), np.sin(turn)], axis=1)
    plane = map_embeddings(ring, np.zeros(16), method="pca", names=["ring"])
    place = re.search(r'<text x="([\d.]+)" y="([\d.]+)"', draw_map(plane))
    assert place is not None
    x, y = float(place[1]), float(place[2])
    height = float(re.findall(r'viewBox="0 0 1000 (\d+)"', draw_map(plane))[0])
    assert np.hypot((x - 500) / 466, (y - 5 - height / 2) / 233) > 0.9


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10])
def test_few_or_equal_embeddings_still_make_a_map(size: int) -> None:
    plane = map_embeddings(np.ones((size, 3)), np.zeros(size))
    assert np.isfinite(plane.points).all()
    assert "nan" not in draw_map(plane)


def test_one_dimension_is_a_line() -> None:
    plane = map_embeddings(np.arange(5.0)[:, None], np.zeros(5))
    np.testing.assert_allclose(plane.points, np.stack([np.linspace(0, 1, 5), np.full(5, 0.5)], 1))


def test_thumbnails_never_overlap_and_unreadable_ones_stay_away(pictures) -> None:
    rng = np.random.default_rng(0)
    shown = [*pictures[:20], *["absent.png"] * 4]
    plane = map_embeddings(rng.normal(size=(24, 3)), np.arange(24) % 3, method="pca", images=shown)
    drawn = draw_map(plane)
    corners = [
        (float(x), float(y)) for x, y in re.findall(r'<image [^>]*x="([\d.]+)" y="([\d.]+)"', drawn)
    ]
    assert 4 < len(corners) <= 20
    for i, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:i]:
            assert abs(x - other_x) >= THUMB or abs(y - other_y) >= THUMB
    assert len(corners) + int(re.findall(r"(\d+) images? could not be read", drawn)[0]) <= 24
    assert "<image" not in draw_map(plane, thumbnails=0)


def test_bad_input_is_refused() -> None:
    broken = np.ones((4, 2))
    broken[2, 1] = np.nan
    with pytest.raises(NumericsError, match="first row 2"):
        map_embeddings(broken, np.zeros(4))
    with pytest.raises(LookalikeError, match="method='mds'"):
        map_embeddings(np.ones((4, 2)), np.zeros(4), method="mds")  # pyright: ignore
    with pytest.raises(LookalikeError, match="at least 1"):
        map_embeddings(np.ones((0, 2)), np.zeros(0))
    with pytest.raises(LookalikeError, match="1 image for 4"):
        map_embeddings(np.ones((4, 2)), np.zeros(4), images=["a.png"])
