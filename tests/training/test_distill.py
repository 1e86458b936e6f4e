from __future__ import annotations

import pytest
import torch

from lookalike.config import OptimizerConfig
from lookalike.errors import ConfigError
from lookalike.losses import AsymmetricDistillation, SmoothAP, Triplet
from lookalike.models.create import create_model
from lookalike.training.compatible import CompatibleStep
from lookalike.training.distill import DistillStep, Ranking, Stored, Teacher
from lookalike.training.mined import mined_triplets
from lookalike.training.optimizers import Schedule, create_optimizers
from lookalike.training.schedules import Span
from on_device import device


def network(width, seed):
    torch.manual_seed(seed)
    return create_model(
        "conv4", pretrained=False, embedding_size=6, options={"width": width}, size=16
    ).to(device())


def step(student, loss=None, **options):
    c = OptimizerConfig(name="sgd", lr=0.1, schedule="constant")
    parts = {"backbone": student.backbone, "pool": student.pool, "head": student.head}
    loss = loss or AsymmetricDistillation()
    optimizers = create_optimizers(parts | {"loss": loss}, c)
    return DistillStep(
        model=student,
        loss=loss,
        optimizers=optimizers,
        schedule=Schedule(optimizers, Span(1, 1), c),
        device=device(),
        **options,
    )


def batch(views=3):
    rng = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (4, views, 3, 16, 16), dtype=torch.uint8, generator=rng)
    large = small.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    index = torch.tensor([3, 1, 4, 0])
    labels = torch.zeros(4, 1, dtype=torch.long)
    return {"pictures": small, "teacher_pictures": large, "index": index, "labels": labels}


def test_the_loss_is_that_of_all_views_of_both_networks():
    student, model = network(4, 0).eval(), network(8, 1)
    seen = batch()
    value = step(student, teacher=Teacher(model)).backward(seen)
    with torch.no_grad():
        own = torch.stack([student(views) for views in seen["pictures"]])
        theirs = torch.stack([model(views) for views in seen["teacher_pictures"]])
    assert value == pytest.approx(float(AsymmetricDistillation()(own, theirs)), rel=1e-5)


def test_a_teacher_is_asked_and_not_taught():
    model = network(8, 1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taught = step(network(4, 0), teacher=Teacher(model))
    taught.backward(batch())
    taught.update(0, 0)
    assert not model.training
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    gradients = []
    for micro_batch in (None, 5):
        student = network(4, 0).eval()
        step(student, teacher=Teacher(network(8, 1)), micro_batch=micro_batch).backward(batch())
        gradients.append([p.grad.clone() for p in student.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_stored_embeddings_are_found_by_row():
    student = network(4, 0).eval()
    targets = torch.nn.functional.normalize(torch.randn(5, 6), dim=1)
    stored = Stored(targets, torch.zeros(5, 1, dtype=torch.long), torch.ones(5, dtype=torch.bool))
    seen = batch(views=1) | {"pictures": batch(views=1)["pictures"][:, 0]}
    loss = AsymmetricDistillation(lam_1=0, lam_2=0)
    value = step(student, loss, stored=stored).backward(seen)
    with torch.no_grad():
        expected = (1 - (student(seen["pictures"]) * targets[seen["index"]]).sum(1)) ** 2
    assert value == pytest.approx(float(expected.sum()), rel=1e-4)


def stored_gallery():
    torch.manual_seed(5)
    embeddings = torch.nn.functional.normalize(torch.randn(7, 6), dim=1)
    embeddings[6] = 0  # could not be read
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 1])[:, None]
    return Stored(embeddings, labels, torch.arange(7) < 6)


def labelled(views):
    seen = batch(views)
    pictures = seen["pictures"] if views > 1 else seen["pictures"][:, 0]
    return seen | {"pictures": pictures, "labels": torch.tensor([1, 1, 0, 0])[:, None]}


@pytest.mark.parametrize("views", [1, 3])
def test_the_teachers_gallery_is_ranked_by_the_students_pictures(views):
    student, model, rank = network(4, 0).eval(), network(8, 1), SmoothAP(tau=0.1)
    lam = 0.0 if views == 1 else 0.7
    loss, seen = AsymmetricDistillation(lam, lam), labelled(views)
    given = {"stored": stored_gallery()} if views == 1 else {"teacher": Teacher(model)}
    value = step(student, loss, ranking=Ranking(rank, 0.5), **given).backward(seen)
    with torch.no_grad():
        own = torch.stack([student(v[None] if v.dim() == 3 else v) for v in seen["pictures"]])
        if views == 1:
            whole = stored_gallery()
            theirs = whole.embeddings[seen["index"]][:, None]
            gallery, known = whole.embeddings[:6], whole.labels[:6]
        else:
            theirs = torch.stack([model(v) for v in seen["teacher_pictures"]])
            gallery, known = theirs.flatten(0, 1), seen["labels"].repeat_interleave(3, 0)
        labels = seen["labels"].repeat_interleave(views, 0)
        ranked = rank(own.flatten(0, 1), labels, ref_emb=gallery, ref_labels=known)
    expected = float(loss(own, theirs)) + len(own) * 0.5 * float(ranked)
    assert value == pytest.approx(expected, rel=1e-5)
    assert float(ranked) > 0.01


def test_every_width_learns_the_same_width_of_the_teacher():
    student, model, loss = network(4, 0).eval(), network(8, 1), AsymmetricDistillation()
    value = step(student, loss, teacher=Teacher(model), widths=[2, 4]).backward(batch())
    with torch.no_grad():
        own = torch.stack([student(views) for views in batch()["pictures"]])
        theirs = torch.stack([model(views) for views in batch()["teacher_pictures"]])
        expected = sum(float(loss(own[..., :w], theirs[..., :w])) for w in (2, 4, 6))
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_compatible_model_learns_its_labels_and_the_old_gallery():
    student, loss, rank = network(4, 0).eval(), Triplet(), SmoothAP(tau=0.1)
    c = OptimizerConfig(name="sgd", lr=0.1, schedule="constant")
    parts = {"backbone": student.backbone, "pool": student.pool, "head": student.head}
    optimizers = create_optimizers(parts | {"loss": loss}, c)
    made = CompatibleStep(
        model=student, loss=loss, optimizers=optimizers, device=device(),
        schedule=Schedule(optimizers, Span(1, 1), c),
        stored=stored_gallery(), ranking=Ranking(rank, 2.0),
    )  # fmt: skip
    seen = labelled(1)
    value = made.backward(seen)
    with torch.no_grad():
        own, old = student(seen["pictures"]), stored_gallery()
        ranked = rank(own, seen["labels"], ref_emb=old.embeddings[:6], ref_labels=old.labels[:6])
        expected = float(loss(own, seen["labels"])) + 2 * float(ranked)
    assert value == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match="give the old gallery"):
        CompatibleStep(student, loss, optimizers, made.schedule, made.device)


def test_training_brings_the_student_to_the_teacher():
    student = network(8, 0)
    taught = step(student, teacher=Teacher(network(8, 1)))
    values = []
    for number in range(30):
        values.append(taught.backward(batch()))
        taught.update(number, 0)
    assert values[-1] < values[0] / 2


def test_either_a_teacher_or_its_embeddings():
    with pytest.raises(ConfigError, match="either a teacher or its stored embeddings"):
        step(network(4, 0))


@pytest.mark.parametrize("world", [1, 2])
def test_mined_triplets_join_anchors_with_their_own_negatives(world):
    torch.manual_seed(0)
    labels = torch.cat([torch.tensor([5, 5, 7, 7]), torch.arange(8) + 10] * world)
    if world == 2:  # the other process brings other classes
        labels[12:16] = torch.tensor([7, 7, 8, 8])
    found = set(zip(*(part.tolist() for part in mined_triplets(labels, 2, world)), strict=True))
    expected = set()
    anchors = [p * 12 + i for p in range(world) for i in range(4)]
    for a in anchors:
        process, place = divmod(a, 12)
        mined = [process * 12 + 4 + 2 * place + n for n in range(2)]
        positives = [p for p in anchors if p != a and labels[p] == labels[a]]
        expected |= {(a, p, n) for p in positives for n in mined}
    assert found == expected


def test_mined_triplets_are_ramls_symmetric_loss():
    """L = Σ_a 1/(P·N) Σ_p Σ_n max(0, d(a, p) − d(a, n) + margin), d squared Euclidean."""
    torch.manual_seed(0)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, *range(2, 18)])
    x = torch.nn.functional.normalize(torch.randn(24, 5, dtype=torch.float64), dim=1)
    loss = Triplet(margin=0.7, distance="squared", reduction="anchors")
    value = loss(x, labels, mined_triplets(labels, negatives=2))
    d = torch.cdist(x, x) ** 2
    expected = 0.0
    for a in range(8):
        positives = [p for p in range(8) if p != a and labels[p] == labels[a]]
        mined = [8 + 2 * a, 9 + 2 * a]
        hinges = [float((d[a, p] - d[a, n] + 0.7).clamp(min=0)) for p in positives for n in mined]
        expected += sum(hinges) / len(hinges)
    assert float(value) == pytest.approx(expected, rel=1e-9)
