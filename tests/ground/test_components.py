from __future__ import annotations

import pytest

from lookalike import components
from lookalike.errors import ConfigError


class Strict:
    def __init__(self, size: int, *, colour: str = "red") -> None:
        if size < 0:
            raise ValueError("size must not be negative")
        self.size, self.colour = size, colour


class Child(Strict):
    def __init__(self, extra: int = 0, **rest) -> None:
        super().__init__(**rest)
        self.extra = extra


def here(name: str) -> str:
    return f"{__name__}.{name}"


def test_build_fills_only_what_the_component_takes():
    made = components.build("loss", {"name": here("Strict")}, size=3, unknown=5)
    assert (made.size, made.colour) == (3, "red")


def test_what_the_person_says_beats_what_is_given():
    assert components.build("loss", {"name": here("Strict"), "size": 7}, size=3).size == 7


def test_keywords_passed_on_to_a_base_class_are_checked_there():
    made = components.build("loss", {"name": here("Child"), "size": 1, "colour": "blue"})
    assert (made.size, made.colour, made.extra) == (1, "blue", 0)
    with pytest.raises(ConfigError, match=r"loss\.colur: Child takes no .*'colour'"):
        components.check("loss", {"name": here("Child"), "colur": "blue"})


def test_missing_arguments_are_named():
    with pytest.raises(ConfigError, match=r"needs size\. Set loss\.size="):
        components.build("loss", {"name": here("Strict")})


class Filled(Strict):
    def __init__(self, **rest) -> None:
        super().__init__(size=9, **rest)


def test_what_a_subclass_fills_in_is_not_asked_for():
    assert components.build("loss", {"name": here("Filled"), "colour": "blue"}).size == 9


@pytest.mark.parametrize("name", ["MultiSimilarityLoss", "ContrastiveLoss", "TripletMarginLoss"])
def test_losses_of_pytorch_metric_learning_build(name):
    path = f"pytorch_metric_learning.losses.{name}"
    assert type(components.build("loss", {"name": path}, num_classes=3)).__name__ == name


def test_a_refused_value_says_where():
    with pytest.raises(ConfigError, match="loss: .*size must not be negative"):
        components.build("loss", {"name": here("Strict"), "size": -1})


def test_nested_components_are_built_and_checked():
    node = {"name": "roadmap", "sup_ap": {"name": "sup_ap", "tau": 0.5}}
    assert components.build("loss", node).sup_ap.tau == 0.5
    node["sup_ap"] = {"name": "sup_ap", "tua": 0.5}
    with pytest.raises(ConfigError, match=r"loss\.sup_ap\.tua.*'tau'"):
        components.check("loss", node)


def test_lists_of_components_are_checked_with_their_place():
    node = {"name": "weighted_sum", "losses": [{"name": "smooth_ap"}, {"name": "tripelt"}]}
    with pytest.raises(ConfigError, match=r"loss\.losses\[1\].*'triplet'"):
        components.check("loss", node)
