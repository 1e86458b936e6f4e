"""Conformance packs: one call says whether a component, ours or yours, keeps its promises."""

from lookalike.data.conformance import check_dataset
from lookalike.losses.conformance import check_distributed, check_loss

__all__ = ["check_dataset", "check_distributed", "check_loss"]
