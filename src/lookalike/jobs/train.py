"""``lookalike train``: data, model and loss in; a run folder out."""

from lookalike.training.run import train as run

__all__ = ["run"]
