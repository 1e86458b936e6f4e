"""The distillation loss: the original's numbers, plain loops, and what it refuses."""

import pytest
import torch
from golden_files import assert_close, load

from lookalike.errors import LookalikeError, NumericsError
from lookalike.losses import AsymmetricDistillation


@pytest.mark.parametrize("name", [f"reg{i}" for i in range(5)] + [f"aug{i}" for i in range(8)])
def test_distillation_is_raml(name):
    file = load("raml_pp/raml_distill")
    s, t = (torch.tensor(file[f"{name}_{k}"], requires_grad=True) for k in "st")
    lam = file.get(f"{name}_lam", (0.0, 0.0))
    loss = AsymmetricDistillation(float(lam[0]), float(lam[1]), normalize=False)
    value = loss(s, t)
    value.backward()
    assert_close(value.item(), file[f"{name}_loss"], 0, atol=1e-10)
    assert_close(s.grad.numpy(), file[f"{name}_grad_s"], 0, atol=1e-10)
    assert_close(t.grad.numpy(), file[f"{name}_grad_t"], 0, atol=1e-10)
    if f"{name}_lam" in file:
        parts = AsymmetricDistillation(1.0, 1.0, normalize=False).parts(s, t)
        assert_close(parts["student_teacher"].item(), file[f"{name}_rel_ts"], 0, atol=1e-10)
        assert_close(parts["student_student"].item(), file[f"{name}_rel_ss"], 0, atol=1e-10)
        if tuple(lam) == (0, 0):
            assert_close(parts["absolute"].item(), file[f"{name}_abs"], 0, atol=1e-10)


def embed(pictures, W):
    """The linear network of the golden file: a norm with 1e-6 added to it."""
    out = pictures.flatten(2) @ W
    return out / (out.norm(dim=2, keepdim=True) + 1e-6)


@pytest.mark.parametrize("name", ["asym", "regwrap", "regwrap1"])
def test_distillation_is_ramls_whole_step(name):
    file = load("raml_pp/raml_distill")
    # Where a step stores no weights of its own, those of the asymmetric step were used.
    W = torch.tensor(file.get(f"{name}_Ws", file["asym_Ws"]), requires_grad=True)
    student = embed(torch.tensor(file[f"{name}_xs"]), W)
    lam = (0.7718, 0.6684) if name == "asym" else (0.0, 0.0)
    if name == "asym":
        Wt = torch.tensor(file["asym_Wt"], requires_grad=True)
        teacher = embed(torch.tensor(file["asym_xt"]), Wt)
    else:
        teacher = torch.tensor(file[f"{name}_feat"])
    value = AsymmetricDistillation(*lam, normalize=False)(student, teacher)
    value.backward()
    assert_close(value.item(), file[f"{name}_loss"], 0, atol=1e-10)
    assert_close(W.grad.numpy(), file[f"{name}_grad_Ws"], 0, atol=1e-10)
    if name == "asym":
        assert_close(Wt.grad.numpy(), file["asym_grad_Wt"], 0, atol=1e-10)


def in_loops(s, t, lam_1, lam_2, eps):
    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    total = 0.0
    for sb, tb in zip(s, t, strict=True):
        P = len(sb)
        total += sum((1 - dot(a, b) + eps) ** 2 for a, b in zip(sb, tb, strict=True)) / P
        for i in range(P):
            for j in range(P):
                if i != j:
                    target = dot(tb[i], tb[j])
                    total += lam_1 * (dot(sb[i], tb[j]) - target + eps) ** 2 / (P * (P - 1))
                    total += lam_2 * (dot(sb[i], sb[j]) - target + eps) ** 2 / (P * (P - 1))
    return total


def test_distillation_is_its_formula_on_normalised_embeddings():
    torch.manual_seed(0)
    s, t = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    value = AsymmetricDistillation(0.3, 1.1, 1e-3)(s, t)
    unit = (torch.nn.functional.normalize(x, dim=2).tolist() for x in (s, t))
    assert value.item() == pytest.approx(in_loops(*unit, 0.3, 1.1, 1e-3), rel=1e-12)


def test_relations_across_pictures_are_their_formula():
    torch.manual_seed(0)
    s, t = torch.nn.functional.normalize(torch.randn(2, 3, 2, 5, dtype=torch.float64), dim=3)
    loss = AsymmetricDistillation(0.0, 0.0, 1e-3, lam_batch=0.4)
    expected = 0.0
    for b in range(3):
        others = [t[c, j] for c in range(3) if c != b for j in range(2)]
        errors = [(s[b, i] - t[b, i]) @ other + 1e-3 for i in range(2) for other in others]
        expected += 0.4 * sum(float(e) ** 2 for e in errors) / len(errors)
    alone = AsymmetricDistillation(0.0, 0.0, 1e-3)(s, t)
    assert (loss(s, t) - alone).item() == pytest.approx(expected, rel=1e-10)
    assert loss(s[:1], t[:1]) == AsymmetricDistillation(0.0, 0.0, 1e-3)(s[:1], t[:1])


def test_one_view_is_refused_with_relations_and_taken_without():
    s, t = torch.randn(3, 4), torch.randn(3, 4)
    with pytest.raises(LookalikeError, match=r"one view an image.*lam_1=0.7 and lam_2=0.7"):
        AsymmetricDistillation()(s, t)
    with pytest.raises(LookalikeError, match="one view an image"):
        AsymmetricDistillation(0.0, 0.5)(s[:, None], t[:, None])
    alone = AsymmetricDistillation(0.0, 0.0)
    assert alone(s, t) == alone(s[:, None], t[:, None])


def test_shapes_and_numbers_that_do_not_fit_are_named():
    loss = AsymmetricDistillation()
    with pytest.raises(LookalikeError, match=r"not \(2, 3, 4\) and \(2, 3, 5\)"):
        loss(torch.randn(2, 3, 4), torch.randn(2, 3, 5))
    bad = torch.randn(2, 3, 4)
    bad[1, 0, 0] = torch.nan
    with pytest.raises(NumericsError, match=r"teacher hold NaN or infinity \(rows \[3\]\)"):
        loss(torch.randn(2, 3, 4), bad)
