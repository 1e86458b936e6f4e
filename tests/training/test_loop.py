from __future__ import annotations

import os
import signal

import pytest

from lookalike.errors import Interrupted, NumericsError
from lookalike.training.checkpoints import Progress
from lookalike.training.loop import Loop


class Notes:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []

    def train_row(self, progress, row):
        self.heard.append(("row", row["step"], row["loss"]))

    def step_done(self, progress):
        self.heard.append(("step", progress.step))

    def epoch_trained(self, progress):
        self.heard.append(("trained", progress.epoch))

    def epoch_done(self, progress):
        self.heard.append(("epoch", progress.epoch))

    def interrupted(self, progress):
        self.heard.append(("interrupted", progress.step))


class Step:
    """A step that writes down its updates; a batch's number is its loss."""

    def __init__(self, backward=None) -> None:
        self.act = backward or (lambda batch: None)
        self.updates: list[tuple[int, int, int]] = []
        self.forgotten = 0

    def backward(self, batch):
        self.act(batch)
        return float(batch["n"])

    def update(self, done, epoch, batches=1):
        self.updates.append((done, epoch, batches))

    def forget(self):
        self.forgotten += 1


def loop(backward=None, **options):
    notes = Notes()
    evaluated: list[int] = []
    defaults = {
        "epochs": 4,
        "batches": lambda epoch, skip: [{"n": i} for i in range(5)][skip:],
        "step": Step(backward),
        "evaluate": lambda progress: evaluated.append(progress.epoch),
        "listener": notes,
        "rates": dict,
        "log_every": 3,
    }
    return Loop(**(defaults | options)), notes, evaluated


def test_epochs_steps_and_evaluations_are_counted():
    made, notes, evaluated = loop(evaluate_every=3)
    progress = made.run(Progress())
    assert (progress.epoch, progress.batch, progress.step) == (4, 0, 20)
    assert evaluated == [3, 4]
    assert [n for kind, *n in notes.heard if kind == "epoch"] == [[1], [2], [3], [4]]


def test_gradients_of_several_batches_make_one_step():
    made, notes, _ = loop(epochs=2, update_every=2)
    progress = made.run(Progress())
    assert made.step.updates == [
        (0, 0, 2), (1, 0, 2), (2, 0, 1),
        (3, 1, 2), (4, 1, 2), (5, 1, 1),
    ]  # fmt: skip
    assert progress.step == 6
    rows = [tuple(n) for kind, *n in notes.heard if kind == "row"]
    assert rows == [(3, 2.0), (6, 2.0)]  # the mean over all five batches


def test_a_last_group_of_too_few_batches_may_go_unused():
    made, _, _ = loop(epochs=2, update_every=2, drop_partial=True)
    assert made.run(Progress()).step == 4
    assert [batches for *_, batches in made.step.updates] == [2] * 4
    assert made.step.forgotten == 2


def test_a_stop_waits_for_the_whole_group():
    def kill(batch):
        if batch["n"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    made, _, _ = loop(kill, update_every=2)
    progress = Progress()
    with pytest.raises(Interrupted):
        made.run(progress)
    assert (progress.step, progress.batch) == (2, 4)


def test_a_run_that_is_told_to_stop_early_does():
    def enough(progress):
        progress.stopped = progress.epoch == 2

    made, notes, _ = loop(evaluate=enough)
    assert made.run(Progress()).epoch == 2
    assert notes.heard[-1] == ("epoch", 2)


def test_evaluation_only_at_the_end():
    made, _, evaluated = loop(evaluate_every=0)
    made.run(Progress())
    assert evaluated == [4]


def test_rows_hold_the_mean_loss_since_the_last_row():
    made, notes, _ = loop()
    made.run(Progress())
    rows = [tuple(n) for kind, *n in notes.heard if kind == "row"]
    losses = [float(i % 5) for i in range(20)]
    assert rows == [(s, sum(losses[s - 3 : s]) / 3) for s in (3, 6, 9, 12, 15, 18)]


def test_going_on_in_the_middle_of_an_epoch_repeats_nothing():
    seen: list[int] = []
    made, _, _ = loop(lambda batch: seen.append(batch["n"]))
    made.run(Progress(epoch=3, batch=2, step=17))
    assert seen == [2, 3, 4]


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_saves(name):
    def step(batch):
        if batch["n"] == 2:
            os.kill(os.getpid(), name)

    made, notes, _ = loop(step)
    before = signal.getsignal(name)
    with pytest.raises(Interrupted) as caught:
        made.run(Progress())
    assert caught.value.exit_code == 130
    assert notes.heard[-1] == ("interrupted", 3)
    assert signal.getsignal(name) is before


def test_a_signal_in_an_evaluation_saves_too():
    """Not every epoch ends with a checkpoint."""
    made, notes, _ = loop(evaluate=lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        made.run(Progress())
    assert notes.heard[-2:] == [("epoch", 1), ("interrupted", 5)]


@pytest.mark.parametrize(("name", "heard"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_second_sigterm_asks_nothing_new_and_a_second_ctrl_c_does(name, heard):
    """torchrun hands a SIGTERM on that its processes already had, where all of a job got it."""
    count = 0

    def outer(*_):
        nonlocal count
        count += 1

    def step(batch):
        if batch["n"] == 2:
            os.kill(os.getpid(), name)
            os.kill(os.getpid(), name)

    before = signal.signal(name, outer)
    try:
        made, notes, _ = loop(step)
        with pytest.raises(Interrupted):
            made.run(Progress())
    finally:
        signal.signal(name, before)
    assert count == heard
    assert notes.heard[-1] == ("interrupted", 3)


def test_an_error_in_a_step_passes_through():
    def step(batch):
        raise NumericsError("The loss became nan.")

    made, notes, _ = loop(step)
    with pytest.raises(NumericsError):
        made.run(Progress())
    assert notes.heard == []
