import pytest
import torch
from torch import Generator, Tensor

from mri_ambient.images.corruptions import KINDS, Operator, Pixels, Rows, draw_operator, lessen, stack
from tests.operators import check_adjoint, check_gradient_is_adjoint

SHAPE = (12, 10)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def drawn(kind: str, missing: float = 0.5, count: int = 3) -> tuple[Operator, Operator]:
    """A and A~ of ``count`` images; double precision."""
    ones = [draw_operator(kind, missing, SHAPE, seeded(seed)) for seed in range(count)]
    less = [lessen(one, kind, missing, 0.2, seeded(99 + seed)) for seed, one in enumerate(ones)]
    return double(stack(ones)), double(stack(less))


def double(operator: Operator) -> Operator:
    return Rows(operator.rows.double()) if isinstance(operator, Rows) else operator


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 2, *SHAPE, dtype=torch.float64, generator=seeded(7))


@pytest.mark.parametrize("kind", KINDS)
def test_adjoint_and_gradient(kind):
    operator, _ = drawn(kind)
    measured = torch.randn_like(operator(images()))
    check_adjoint(operator, operator.adjoint, images(), measured)
    check_gradient_is_adjoint(operator, operator.adjoint, images(), measured)


@pytest.mark.parametrize("kind", KINDS)
def test_the_projection_keeps_what_is_measured_and_nothing_else(kind):
    operator, _ = drawn(kind)
    known = operator.project(images())
    torch.testing.assert_close(operator(known), operator(images()), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(operator.project(known), known, rtol=1e-8, atol=1e-8)
    basis = torch.eye(SHAPE[0] * SHAPE[1], dtype=torch.float64).view(-1, 1, *SHAPE)
    first = operator.part(0, 3)
    diagonal = torch.stack([first.project(unit[None]).flatten()[i] for i, unit in enumerate(basis)])
    torch.testing.assert_close(first.coverage.flatten().double(), diagonal, rtol=1e-6, atol=1e-6)
    check_adjoint(operator.project, operator.project, images(), torch.randn_like(images()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_further_corruption_measures_a_part(kind):
    """P~ P = P~ and it knows less; it is another one at each draw, of the same A."""
    operator, less = drawn(kind)
    torch.testing.assert_close(less.project(operator.project(images())), less.project(images()), rtol=1e-8, atol=1e-8)
    assert less.coverage.sum() < operator.coverage.sum()
    one = operator.part(0, 3)
    again = [lessen(one, kind, 0.5, 0.2, seeded(seed)).coverage for seed in range(12)]
    assert any(not torch.equal(again[0], other) for other in again[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [0.25, 0.9])
def test_how_much_is_missing(kind, missing):
    side, count = (8, 2) if kind == "gaussian" else (32, 50)
    known = [draw_operator(kind, missing, (side, side), seeded(seed)).coverage.mean() for seed in range(count)]
    found = 1 - torch.stack(known)
    if kind == "random-box":
        assert found.max() <= missing + 0.03
        assert found.max() - found.min() > 0.2 * missing
    else:
        assert found.mean() == pytest.approx(missing, abs=0.03)
    if kind == "fixed-box":
        assert found.std() == 0


@pytest.mark.parametrize("kind", ["random-pixels", "random-box", "fixed-box", "keep-patch"])
def test_missing_pixels_may_be_nan(kind):
    operator, _ = drawn(kind)
    poisoned = torch.where(operator.mask, images(), torch.nan)
    for apply in (operator, operator.adjoint, operator.project):
        assert torch.equal(apply(poisoned), apply(images()))


def test_patches_shrink_inside_and_boxes_are_squares():
    patch = draw_operator("keep-patch", 0.75, (16, 16), seeded(0))
    less = lessen(patch, "keep-patch", 0.75, 0.5, seeded(1))
    assert patch.mask.sum() == 64
    assert (less.mask & ~patch.mask).sum() == 0
    assert less.mask.sum() == 36
    hidden = ~draw_operator("fixed-box", 0.25, (16, 16), seeded(2)).mask[0, 0]
    assert hidden.any(0).sum() == hidden.any(1).sum() == 8
    assert hidden.sum() == 64


def test_survival_of_pixels_is_the_product():
    mask = torch.cat(
        [
            lessen(
                draw_operator("random-pixels", 0.9, (64, 64), seeded(i)), "random-pixels", 0.9, 0.1, seeded(500 + i)
            ).mask
            for i in range(20)
        ]
    )
    assert mask.float().mean() == pytest.approx(0.09, abs=0.004)


def test_rows_are_of_unit_variance_over_m():
    operator = draw_operator("gaussian", 0.5, (16, 16), seeded(0))
    assert operator.rows.shape == (1, 128, 16, 16)
    assert operator.rows.std() == pytest.approx(128**-0.5, rel=0.02)
    assert lessen(operator, "gaussian", 0.5, 1e-6, seeded(0)).rows.shape[1] == 127


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="corruption 'blur' is not one of random-pixels"):
        draw_operator("blur", 0.5, SHAPE, seeded(0))


def test_parts_and_devices():
    for operator in (drawn("random-pixels")[0], drawn("gaussian")[0]):
        part = operator.part(1, 2).to(torch.device("cpu"))
        assert len(part.coverage) == 1
        assert torch.equal(part.coverage[0], operator.coverage[1])
    assert isinstance(drawn("random-box")[0], Pixels)
