"""Conformance packs: one call says whether a component, ours or yours, keeps its promises."""

from lookalike.losses.conformance import check_distributed, check_loss

__all__ = ["check_distributed", "check_loss"]
