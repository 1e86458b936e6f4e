"""``lookalike train``: data, model and loss in; a run folder out."""

from lookalike.training.run import run_training as run

__all__ = ["run"]
