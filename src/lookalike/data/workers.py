"""What a process that reads images does when the whole job is asked to stop."""

from __future__ import annotations

import os
import signal
import threading


def obey_parent(worker: int) -> None:
    """Let Ctrl-C pass by, and end on SIGTERM only if the parent sent it.

    A terminal, ``timeout`` and most schedulers signal all processes of a job at once. Workers that
    ended then would leave the training nothing to finish its step with, so it could not save. They
    end when the loader that started them ends them, and when their parent is gone.

    Args:
        worker: its number, which torch hands to every ``worker_init_fn``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux; elsewhere SIGTERM ends a worker, whoever sent it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_listen, args=(os.getppid(),), daemon=True).start()


def _listen(parent: int) -> None:
    """Wait for the parent's own SIGTERM."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
