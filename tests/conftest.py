"""What all tests share: few threads, and the real images where they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Two test processes on two cores: more threads would only wait for each other.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

REPOSITORY = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"


def pytest_configure(config):
    """Before test files are read, for they hold tensors too."""
    if os.environ.get("LOOKALIKE_TEST_DEVICE", "cpu") != "cpu":
        import on_device

        on_device.start()


def pytest_collection_modifyitems(config, items):
    """What is of the CPU by nature stays there."""
    name = os.environ.get("LOOKALIKE_TEST_DEVICE", "cpu")
    for item in items if name != "cpu" else ():
        mark = item.get_closest_marker("cpu")
        if mark is not None:
            reason = f"on the CPU alone: {mark.args[0]}"
            item.add_marker(pytest.mark.skip(reason=reason))


def _pictures() -> Path | None:
    """The folder of real data sets: $LOOKALIKE_DATA, or ``shared/data`` beside the project."""
    candidates = [REPOSITORY.parent / "shared" / "data", REPOSITORY / "shared" / "data"]
    if "LOOKALIKE_DATA" in os.environ:
        candidates.insert(0, Path(os.environ["LOOKALIKE_DATA"]))
    return next((path for path in candidates if path.is_dir()), None)


@pytest.fixture(scope="session", autouse=True)
def home_of_the_secret(tmp_path_factory):
    """Marks of files are made by a secret of these tests, not by the person's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with CUB_200_2011 and omniglot."""
    found = _pictures()
    if found is None:
        pytest.skip("the real images are absent: set LOOKALIKE_DATA to their folder")
    return found


@pytest.fixture(scope="session")
def device():
    """The device that LOOKALIKE_TEST_DEVICE names, else the CPU."""
    import on_device

    return on_device.device()


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference numbers."""
    return GOLDEN


@pytest.fixture(scope="session")
def chromium():
    """A real browser, or a reason why there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update"],
        )  # fmt: skip
        yield browser
        browser.close()
