"""A program that runs verbs under an audit hook, and prints what reached beyond what is allowed.

``python guarded.py '{"allowed": [FOLDER…], "verbs": [[WORD…]…]}'`` prints a JSON object: for each
verb its code and message, and the list of trespasses.
"""

# ruff: noqa: PTH100, PTH115, PTH117, PTH118
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

STARTS = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "os.forkpty", "pty.spawn",
}  # fmt: skip
TALKS = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostbyname", "ftplib.connect", "smtplib.connect", "urllib.Request",
}  # fmt: skip
# Name → which arguments are paths, and where the folder they are relative to stands.
CHANGES = {
    "os.remove": ((0,), 1), "os.rmdir": ((0,), 1), "os.mkdir": ((0,), 2),
    "os.truncate": ((0,), None),
    "os.rename": ((0, 1), 2), "os.link": ((0, 1), 2), "os.symlink": ((1,), 2),
    "os.chmod": ((0,), 2), "os.chown": ((0,), 3), "os.utime": ((0,), 3), "shutil.rmtree": ((0,), 1),
    "shutil.move": ((0, 1), None),
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    def __init__(self, allowed: list[str]) -> None:
        self.allowed = [os.path.realpath(folder) for folder in [*allowed, "/dev/null"]]
        self.found: list[str] = []
        self.active = False

    def __call__(self, event: str, args: tuple) -> None:
        watched = event == "open" or event in CHANGES or event in STARTS or event in TALKS
        if not (self.active and watched) or importing():
            return
        if event in STARTS and not own_worker(args):
            self.found.append(f"{event} {args!r}"[:300])
        elif event in TALKS:
            self.found.append(f"{event} {args[1:]!r}"[:300])
        elif event == "open" and isinstance(args[0], str | bytes) and (args[2] or 0) & WRITES:
            self.judge(event, args[0], None)
        elif event in CHANGES:
            places, of = CHANGES[event]
            folder = args[of] if of is not None and of < len(args) else None
            for place in places:
                self.judge(event, args[place], folder)

    def judge(self, event: str, path: object, folder: object) -> None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        text = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        # What is done to a link is done to the folder it lies in.
        home, name = os.path.split(os.path.abspath(text))
        real = os.path.join(os.path.realpath(home), name)
        real = os.path.realpath(real) if event == "open" else real
        if not any(real == one or real.startswith(one + os.sep) for one in self.allowed):
            self.found.append(f"{event} {text}")


def importing() -> bool:
    """Whether a library is being imported: what it does then, it does whatever the folder."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def own_worker(args: tuple) -> bool:
    """The server's decoder, and git asked about lookalike's source, are lookalike's own acts."""
    words = [str(word) for word in (args[1] if len(args) > 1 and args[1] else [])]
    root = str(Path(__file__).parents[2])
    return "lookalike.web.worker" in words or words[:3] == ["git", "-C", root]


def main() -> None:
    asked = json.loads(sys.argv[1])
    import uvicorn
    from fastapi.testclient import TestClient

    from lookalike.cli import app
    from lookalike.errors import LookalikeError

    def answer(served, **_options) -> None:
        with TestClient(served, base_url="http://127.0.0.1:8000") as client:
            for _ in range(100):
                if client.get("/api/ready").status_code == 200:
                    return

    uvicorn.run = answer
    guard = Guard(asked["allowed"])
    sys.addaudithook(guard)
    said = []
    for verb in asked["verbs"]:
        guard.active = True
        before = len(guard.found)
        try:
            code, text = app(verb, standalone_mode=False) or 0, ""
        except LookalikeError as error:
            code, text = error.exit_code, str(error)
        except SystemExit as stop:
            code, text = stop.code, "stopped"
        guard.active = False
        said.append({"verb": verb, "code": code, "text": text, "found": guard.found[before:]})
    print("\n" + json.dumps(said))


if __name__ == "__main__":
    main()
