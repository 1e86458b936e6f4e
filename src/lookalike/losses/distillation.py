"""Asymmetric distillation: a small network learns to search a big network's gallery."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import LookalikeError
from lookalike.losses.inputs import real, tensor


class AsymmetricDistillation(NamedArguments, nn.Module):
    """RAML's distillation loss between views of the same images.

    ::

        L = sum over images b of
              mean over views p of (1 - s_bp·t_bp + eps)²
            + lam_1 · mean over i ≠ j of (s_bi·t_bj - t_bi·t_bj + eps)²
            + lam_2 · mean over i ≠ j of (s_bi·s_bj - t_bi·t_bj + eps)²
            + lam_batch · mean over c ≠ b, i, j of (s_bi·t_cj - t_bi·t_cj + eps)²

    with s the student's and t the teacher's embeddings. Suma and Tolias, *Large-to-small image
    resolution asymmetry in deep metric learning*, WACV 2023 (arXiv 2210.05463). Their relations
    are between the P views of one image; the last term, ours, is of relations to the other
    images of the batch. Summed over the batch, as published: the gradient grows with it.

    Args:
        lam_1: weight of student-teacher relations.
        lam_2: weight of student-student relations.
        lam_batch: weight of student-teacher relations across images; one view will do.
        eps: stands inside the squares, as published: perfect agreement costs B ε².
        normalize: divide both embeddings by their norm first.

    Raises:
        LookalikeError: shapes that differ; a single view with a non-zero λ, which has no relations.

    Relations:
        No labels are read. ``lam_1=lam_2=0`` is the first term alone, which regresses a teacher's
        stored embeddings.

    >>> views = torch.eye(4).reshape(2, 2, 4)  # two pictures, two views each
    >>> AsymmetricDistillation()(views, views) < 1e-10
    tensor(True)
    """

    takes_pairs = False

    def __init__(
        self,
        lam_1: float = 0.7,
        lam_2: float = 0.7,
        eps: float = 1e-6,
        *,
        lam_batch: float = 0.0,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.lam_1 = lam_1
        self.lam_2 = lam_2
        self.lam_batch = lam_batch
        self.eps = eps
        self.normalize = normalize

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            student: ``(B, P, D)``, P views of each image; ``(B, D)`` is one view.
            teacher: the teacher's embeddings of the same views, of the same shape.
        """
        parts = self.parts(student, teacher)
        return (
            parts["absolute"]
            + self.lam_1 * parts.get("student_teacher", 0.0)
            + self.lam_2 * parts.get("student_student", 0.0)
            + self.lam_batch * parts.get("across", 0.0)
        )

    def parts(self, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """The terms before weighting: ``absolute``, and each relation whose λ is not 0."""
        s, t = self._views(student, teacher)
        with torch.autocast(s.device.type, enabled=False):
            views = s.shape[1]
            agreement = (s * t).sum(dim=2)
            parts = {"absolute": (1 - agreement + self.eps).square().sum() / views}
            target = t @ t.mT
            if self.lam_1:
                parts["student_teacher"] = self._relations(s @ t.mT, target)
            if self.lam_2:
                parts["student_student"] = self._relations(s @ s.mT, target)
            if self.lam_batch:
                parts["across"] = self._across(s, t)
            return parts

    def _relations(self, given: Tensor, target: Tensor) -> Tensor:
        views = given.shape[1]
        off = ~torch.eye(views, dtype=torch.bool, device=given.device)
        return ((given - target + self.eps).square() * off).sum() / (views * (views - 1))

    def _across(self, s: Tensor, t: Tensor) -> Tensor:
        """(s_bi·t_cj - t_bi·t_cj + eps)², mean over c ≠ b and all views, summed over b."""
        batch, views, _ = s.shape
        if batch == 1:
            return s.sum() * 0.0  # no other image
        squares = ((s - t).flatten(0, 1) @ t.flatten(0, 1).T + self.eps).square()
        picture = torch.arange(batch, device=s.device).repeat_interleave(views)
        other = picture[:, None] != picture
        return (squares * other).sum() / ((batch - 1) * views**2)

    def _views(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        student = tensor("AsymmetricDistillation", student, "student")
        teacher = tensor("AsymmetricDistillation", teacher, "teacher")
        if student.shape != teacher.shape or student.dim() not in (2, 3):
            raise LookalikeError(
                "AsymmetricDistillation: student and teacher must both be (batch, views, width) or "
                f"(batch, width), not {tuple(student.shape)} and {tuple(teacher.shape)}."
            )
        shape = student.shape if student.dim() == 3 else (len(student), 1, student.shape[1])
        if shape[1] == 1 and (self.lam_1 or self.lam_2):
            raise LookalikeError(
                f"AsymmetricDistillation: one view an image has no relations, but lam_1="
                f"{self.lam_1} and lam_2={self.lam_2}. Give several views, shape (batch, views, "
                "width), or set both to 0."
            )
        name = type(self).__name__
        s = real(name, student.flatten(0, -2), "student", self.normalize)
        t = real(name, teacher.flatten(0, -2), "teacher", self.normalize).to(s.dtype)
        return s.reshape(shape), t.reshape(shape)
