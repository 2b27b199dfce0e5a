import pytest
import torch
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.images.operators import OfComplex, Operator, Pixels, Rows, stack
from mri_ambient.images.registry import CORRUPTIONS
from mri_ambient.physics.operators import LinearOperator
from tests.operators import check_adjoint, check_gradient_is_adjoint, random_complex

SHAPE = (12, 10)
KINDS = [name for name, corruption in CORRUPTIONS.items() if not corruption.noisy]


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def drawn(kind: str, missing: float = 0.5, count: int = 3) -> tuple[Operator, Operator]:
    """A and A~ of ``count`` images; double precision."""
    ones = [CORRUPTIONS[kind].draw(missing, SHAPE, seeded(seed)) for seed in range(count)]
    less = [CORRUPTIONS[kind].lessen(one, missing, 0.2, seeded(99 + seed)) for seed, one in enumerate(ones)]
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
    first = operator[::3]
    diagonal = torch.stack([first.project(unit[None]).flatten()[i] for i, unit in enumerate(basis)])
    torch.testing.assert_close(first.coverage.flatten().double(), diagonal, rtol=1e-6, atol=1e-6)
    check_adjoint(operator.project, operator.project, images(), torch.randn_like(images()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_further_corruption_measures_a_part(kind):
    """P~ P = P~ and it knows less; it is another one at each draw, of the same A."""
    operator, less = drawn(kind)
    torch.testing.assert_close(less.project(operator.project(images())), less.project(images()), rtol=1e-8, atol=1e-8)
    assert less.coverage.sum() < operator.coverage.sum()
    one = operator[::3]
    again = [CORRUPTIONS[kind].lessen(one, 0.5, 0.2, seeded(seed)).coverage for seed in range(12)]
    assert any(not torch.equal(again[0], other) for other in again[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [0.25, 0.9])
def test_how_much_is_missing(kind, missing):
    side, count = (8, 2) if kind == "gaussian" else (32, 50)
    known = [CORRUPTIONS[kind].draw(missing, (side, side), seeded(seed)).coverage.mean() for seed in range(count)]
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
    patch = CORRUPTIONS["keep-patch"].draw(0.75, (16, 16), seeded(0))
    less = CORRUPTIONS["keep-patch"].lessen(patch, 0.75, 0.5, seeded(1))
    assert patch.mask.sum() == 64
    assert (less.mask & ~patch.mask).sum() == 0
    assert less.mask.sum() == 36
    hidden = ~CORRUPTIONS["fixed-box"].draw(0.25, (16, 16), seeded(2)).mask[0, 0]
    assert hidden.any(0).sum() == hidden.any(1).sum() == 8
    assert hidden.sum() == 64


def test_survival_of_pixels_is_the_product():
    pixels = CORRUPTIONS["random-pixels"]
    mask = torch.cat(
        [pixels.lessen(pixels.draw(0.9, (64, 64), seeded(i)), 0.9, 0.1, seeded(500 + i)).mask for i in range(20)]
    )
    assert mask.float().mean() == pytest.approx(0.09, abs=0.004)


def test_rows_are_of_unit_variance_over_m():
    operator = CORRUPTIONS["gaussian"].draw(0.5, (16, 16), seeded(0))
    assert operator.rows.shape == (1, 128, 16, 16)
    assert operator.rows.std() == pytest.approx(128**-0.5, rel=0.02)
    assert CORRUPTIONS["gaussian"].lessen(operator, 0.5, 1e-6, seeded(0)).rows.shape[1] == 127


def test_an_unknown_kind():
    with pytest.raises(UserError, match="corruption blur: is not known; choose one of random-pixels, random-box"):
        CORRUPTIONS["blur"].draw(0.5, SHAPE, seeded(0))


def test_all_is_measured_behind_noise():
    assert CORRUPTIONS["noise"].draw(0.5, SHAPE, seeded(0)).mask.all()


@pytest.mark.parametrize("kind", KINDS)
def test_behind_complex_images_it_is_a_linear_operator_of_mri(kind):
    """K images of each slice: each part behind the slice's own A; adjoint, gradient and gram are exact."""
    real, _ = drawn(kind)
    operator = OfComplex(real)
    assert isinstance(operator, LinearOperator)
    assert isinstance(real, LinearOperator)
    few = random_complex((4, 3, *SHAPE), 1)
    data = operator(few)
    assert data.shape[:3] == (4, 3, 1)
    assert data.ndim == 5
    torch.testing.assert_close(data[2, :, 0].real.flatten(1), real(few[2].real.unsqueeze(1)).flatten(1))
    torch.testing.assert_close(data[2, :, 0].imag.flatten(1), real(few[2].imag.unsqueeze(1)).flatten(1))
    check_adjoint(operator, operator.adjoint, few, random_complex(tuple(data.shape), 2))
    check_gradient_is_adjoint(operator, operator.adjoint, few, random_complex(tuple(data.shape), 2))
    torch.testing.assert_close(operator.gram(few), operator.adjoint(data))
    torch.testing.assert_close(operator[1:].to("cpu")(few[:, 1:]), data[:, 1:])
    assert operator.measured.expand(data[0, :, 0].shape).shape == data[0, :, 0].shape
    assert operator.support.shape == few.shape[1:]
    assert operator.support.all()
    if isinstance(real, Pixels):
        poisoned = torch.where(operator.measured.unsqueeze(-3), data, torch.nan)
        assert torch.equal(operator.adjoint(poisoned), operator.adjoint(data))


def test_parts_and_devices():
    for operator in (drawn("random-pixels")[0], drawn("gaussian")[0]):
        part = operator[1::2].to(torch.device("cpu"))
        assert len(part.coverage) == 1
        assert torch.equal(part.coverage[0], operator.coverage[1])
    assert isinstance(drawn("random-box")[0], Pixels)
