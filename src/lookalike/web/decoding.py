"""A few decoding processes; one that dies or hangs is replaced, and its request refused."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from typing import Any

import numpy as np

from lookalike.data.decode import MAX_PIXELS
from lookalike.errors import DataError
from lookalike.web.worker import read_frame, write_frame


class Decoders:
    """Decodes images outside this process.

    Args:
        count: processes at most; the first is started at once, others when all are busy.
        seconds: after which one is killed.
        max_pixels: of an image that is sent.
        max_side: pixels of its longer side.
        max_aspect: its longer side over its shorter one.

    Attributes:
        resized: the shorter side in pixels that the model resizes to; 0: not known yet.
    """

    def __init__(
        self,
        count: int = 2,
        *,
        seconds: float = 20.0,
        max_pixels: int,
        max_side: int = 30_000,
        max_aspect: float = 100.0,
    ) -> None:
        self.seconds, self.resized = seconds, 0
        self._sent = {"pixels": max_pixels, "side": max_side, "aspect": max_aspect}
        self._own = {"pixels": MAX_PIXELS, "side": MAX_PIXELS, "aspect": MAX_PIXELS, "resized": 0}
        self.deaths = 0
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._all: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._count, self._lock = count, threading.Lock()
        self._idle.put(self._start())

    def pixels(self, data: bytes, box: tuple[float, ...] | None = None) -> np.ndarray:
        """uint8 ``(H, W, 3)`` of an image that is sent, cut to a box in pixels.

        Raises:
            DataError: no image, too large a one, a box outside it, or a decoder died of it.
        """
        limits = self._sent | {"resized": self.resized}
        head, raw = self._ask({"box": box, "thumbnail": None, "limits": limits}, data)
        return np.frombuffer(raw, np.uint8).reshape(head["height"], head["width"], 3).copy()

    def thumbnail(self, data: bytes, side: int, box: tuple[float, ...] | None = None) -> bytes:
        """A JPEG at most ``side`` pixels wide and high of an image of the index.

        Raises as `pixels` does, but only above what the program reads at all.
        """
        request = {"box": box, "thumbnail": side, "limits": self._own}
        return self._ask(request, data)[1]

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        for process in list(self._all):
            process.kill()
            process.wait()

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        process = self._take()
        # A hung decoder is killed by the clock; reading its answer then ends at once.
        clock = threading.Timer(self.seconds, process.kill)
        clock.start()
        frame = None
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            write_frame(process.stdin, request, data)
            frame = read_frame(process.stdout)
        except (OSError, ValueError):
            pass  # it died while it was written to, or answered half a line: see below
        finally:
            clock.cancel()
            if frame is None:
                process.kill()
                process.wait()
                with self._lock:
                    self._all.discard(process)
                    self.deaths += 1
                    process = process if self._closed else self._start()
            self._idle.put(process)
        if frame is None:
            raise DataError("the image could not be decoded: its decoder died or took too long")
        head, raw = frame
        if "error" in head:
            raise DataError(head["error"])
        return head, raw

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._idle.empty() and len(self._all) < self._count and not self._closed:
                return self._start()
        return self._idle.get()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lookalike.web.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._all.add(process)
        return process
