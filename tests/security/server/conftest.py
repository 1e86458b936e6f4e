from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

sys.path.append(str(Path(__file__).parents[2] / "web"))

from served import index, model, photos, query, site

__all__ = ["index", "model", "photos", "query", "site"]
