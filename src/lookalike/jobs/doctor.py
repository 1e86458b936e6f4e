"""``lookalike doctor``: this installation, its devices, and which kernels are in use and why."""

from __future__ import annotations

import os
import platform
import sys

from lookalike.errors import counted

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "simplejpeg",
    "faiss-cpu",
    "hydra-core",
    "pytorch-metric-learning",
)


def run() -> None:
    """Look at this installation: versions, devices, which kernels are in use and why."""
    from importlib import metadata

    import torch

    from lookalike import __version__
    from lookalike.console import Console
    from lookalike.ops import paths

    console = Console()
    console.say(f"lookalike  {__version__}, Python {platform.python_version()} ({sys.executable})")
    for package in _PACKAGES:
        try:
            console.say(f"           {package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            console.say(f"           {package}: not installed")
    console.say(
        f"machine    {platform.system()} {platform.machine()},"
        f" {counted(os.cpu_count() or 1, 'core')},"
        " torch uses "
        f"{torch.get_num_threads()}"
    )
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            console.say(f"           cuda:{i} {about.name}, {about.total_memory / 2**30:.0f} GiB")
    else:
        console.say("           no CUDA device: training runs on the CPU, in float32")
    for path in paths.status():
        state = "in use" if path.active else "not in use"
        console.say(f"kernels    {path.name} {state}: {path.reason}")
    root = os.environ.get("LOOKALIKE_DATA")
    console.say(f"data       data_root is {root or 'data (set $LOOKALIKE_DATA to change it)'}")
