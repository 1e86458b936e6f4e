"""An hour of faults; never in CI. In small: ``python tests/soak/soak.py --minutes 5``."""

from __future__ import annotations

import pytest

from soak import soak


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_an_hour_of_faults_leaves_the_weights_as_they_are(tmp_path):
    assert "Equal to the bit" in soak(60, 0, tmp_path)
