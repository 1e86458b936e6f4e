from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.errors import ConfigError
from lookalike.models import create_model
from lookalike.models.pooling import RMAC, GeM, create_pool, l2_normalize


def load(golden, name):
    return np.load(golden / "raml_pp" / f"{name}.npz", allow_pickle=False)


@pytest.mark.parametrize("case", range(5))
def test_gem_equals_the_golden_values_and_gradients(golden, case):
    z = load(golden, "gem_pooling")
    pool = GeM().double()
    with torch.no_grad():
        pool.p.fill_(float(z[f"gem{case}_p"]))
    x = torch.from_numpy(z["x"]).requires_grad_()
    y = pool(x)
    (y * torch.from_numpy(z[f"gem{case}_w"]).flatten(1)).sum().backward()
    np.testing.assert_allclose(y.detach(), z[f"gem{case}_y"][:, :, 0, 0], rtol=1e-10)
    np.testing.assert_allclose(x.grad, z[f"gem{case}_gx"], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(pool.p.grad, z[f"gem{case}_gp"], rtol=1e-9)


def test_gem_per_channel_equals_the_golden(golden):
    z = load(golden, "gem_pooling")
    pool = create_pool("gemmp", 5).double()
    with torch.no_grad():
        pool.p.copy_(torch.from_numpy(z["gemmp_p"]))
    x = torch.from_numpy(z["x"]).requires_grad_()
    y = pool(x)
    (y * torch.from_numpy(z["gemmp_w"]).flatten(1)).sum().backward()
    np.testing.assert_allclose(y.detach(), z["gemmp_y"][:, :, 0, 0], rtol=1e-10)
    np.testing.assert_allclose(x.grad, z["gemmp_gx"], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(pool.p.grad, z["gemmp_gp"], rtol=1e-9)


@pytest.mark.parametrize(("name", "key"), [("mac", "mac_y"), ("spoc", "spoc_y")])
def test_plain_pools_equal_the_golden(golden, name, key):
    z = load(golden, "gem_pooling")
    y = create_pool(name, 5)(torch.from_numpy(z["x"]))
    np.testing.assert_allclose(y, z[key][:, :, 0, 0], rtol=1e-12)


def test_a_zero_map_stays_finite(golden):
    z = load(golden, "gem_pooling")
    x = torch.from_numpy(z["zero_x"]).requires_grad_()
    y = GeM().double()(x)
    y.sum().backward()
    np.testing.assert_allclose(y.detach(), z["zero_gem_y"][:, :, 0, 0], rtol=1e-10)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("case", ["rmac", "rmac2"])
def test_rmac_equals_the_golden(golden, case):
    z = load(golden, "cirtorch_losses")
    y = RMAC(levels=3)(torch.from_numpy(z[f"{case}_x"]))
    np.testing.assert_allclose(y, z[f"{case}_L3"][:, :, 0, 0], rtol=1e-5)


def test_unit_length_is_the_goldens_without_what_that_adds_to_the_norm(golden):
    z = load(golden, "gem_pooling")
    x = torch.from_numpy(z["l2n_x"])
    norm = x.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(l2_normalize(x) * norm / (norm + 1e-6), z["l2n_y"], rtol=1e-10)
    assert not l2_normalize(torch.zeros(1, 5)).any() and not z["zero_l2n"][1:].any()


class Given(torch.nn.Module):
    """A backbone whose feature map is given."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def forward(self, pictures):
        return self.x


@pytest.mark.parametrize("whitening", [True, False])
def test_a_gem_model_is_ramls_head_on_a_feature_map(golden, whitening):
    z = load(golden, "gem_pooling")
    x = torch.from_numpy(z["x"]).requires_grad_()
    model = create_model(
        "conv4", pretrained=False, pool="gem", head_norm="l2", options={"width": [4, 4, 4, 5]},
        embedding_size=len(z["head_W"]) if whitening else None,
    ).double()  # fmt: skip
    model.backbone = Given(x)
    if not whitening:
        found = model(torch.zeros(len(x), 3, 1, 1))
        # theirs adds 1e-6 to every norm
        np.testing.assert_allclose(found.detach().T, z["head_nowhiten_out"], rtol=1e-5)
        return
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(z["head_W"]))
        model.head.bias.copy_(torch.from_numpy(z["head_b"]))
    found = model(torch.zeros(len(x), 3, 1, 1))
    (found.T * torch.from_numpy(z["head_w"])).sum().backward()
    np.testing.assert_allclose(found.detach().T, z["head_out"], atol=1e-5)
    for ours, name in ((x, "gx"), (model.head.weight, "gW"), (model.head.bias, "gb")):
        np.testing.assert_allclose(ours.grad, z[f"head_{name}"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.pool.p.grad, z["head_gp"], rtol=1e-4)


def test_gem_runs_in_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = GeM()(torch.rand(2, 3, 4, 4, dtype=torch.bfloat16))
    assert y.dtype == torch.float32


def test_an_unknown_pooling_names_the_nearest():
    with pytest.raises(ConfigError, match=r"model\.pool=gme.*'gem'"):
        create_pool("gme", 8)
