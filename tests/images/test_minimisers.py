"""Each rule for images has the minimiser that it should: Gaussian images, a linear denoiser, one noise level."""

import pytest
import torch
from torch import Generator, Tensor, nn

from mri_ambient.images.denoiser import PixelArchitecture, PixelDenoiser
from mri_ambient.images.losses import CHAIN, ImageBatch, tweedie, tweedie_consistent
from mri_ambient.images.operators import Operator, Pixels, everything
from mri_ambient.images.registry import RULES

SIDE, COUNT = 4, 24000
PIXELS = SIDE * SIDE
SHOWN = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
SHOWN.view(-1)[[1, 6, 8, 11, 15]] = True  # A~; A measures one pixel more, anywhere
NATURE = 0.3


class Linear(PixelDenoiser):
    """D(u) = B u."""

    def __init__(self):
        nn.Module.__init__(self)
        self.architecture = PixelArchitecture()
        self.matrix = nn.Parameter(torch.zeros(PIXELS, PIXELS))

    def forward(self, seen: Tensor, operator: Operator, sigma: Tensor) -> Tensor:
        return (seen.flatten(1) @ self.matrix.T).view_as(seen)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def root() -> Tensor:
    """L, x = L w: neighbouring pixels are alike."""
    places = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    covariance = 0.25 * torch.exp(-torch.cdist(places, places).square() / 4) + 1e-3 * torch.eye(PIXELS)
    return torch.linalg.cholesky(covariance)


def covariance() -> Tensor:
    return root() @ root().T


def draw(rule: str) -> ImageBatch:
    images = (normal(COUNT, PIXELS, seed=0) @ root().T).view(COUNT, 1, SIDE, SIDE)
    noisy = images + NATURE * normal(COUNT, 1, SIDE, SIDE, seed=1)
    whole = everything(images)
    levels, names = torch.full((COUNT,), NATURE), ("",) * COUNT
    if rule != "ambient":
        # the rules for noisy data alone are given nothing else
        source = images if rule in ("clean", "creative") else torch.full_like(images, torch.nan)
        return ImageBatch(source, whole, whole, noisy, levels, names)
    others = (~SHOWN.view(-1)).nonzero().squeeze(1)
    mask = SHOWN.repeat(COUNT, 1, 1, 1)
    chosen = others[torch.randint(len(others), (COUNT,), generator=Generator().manual_seed(2))]
    mask.view(COUNT, -1)[torch.arange(COUNT), chosen] = True
    operator = Pixels(mask)
    shown = Pixels(SHOWN.expand(COUNT, -1, -1, -1))
    return ImageBatch(operator.project(images), operator, shown, images, levels, names)


def descend(rule: str, sigma: float) -> Tensor:
    """B that minimises the rule's mean."""
    batch, denoiser = draw(rule), Linear()
    noise = normal(COUNT, 1, 1, SIDE, SIDE, seed=3)
    optimiser = torch.optim.LBFGS(denoiser.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = RULES[rule].loss(denoiser, batch, torch.full((COUNT,), sigma), noise).mean()
        value.backward()
        return value

    optimiser.step(loss)
    return denoiser.matrix.detach()


def posterior_mean(sigma: float, shown: Tensor | None = None) -> Tensor:
    """B of E[x | shown (x + sigma z)]."""
    seen = torch.eye(PIXELS) if shown is None else torch.diag(shown.view(-1).float())
    measured = seen @ (covariance() + sigma**2 * torch.eye(PIXELS)) @ seen
    return covariance() @ seen @ torch.linalg.pinv(measured)


def deviation(found: Tensor, exact: Tensor, sigma: float) -> float:
    """Of the denoised images, relative."""
    images = normal(2000, PIXELS, seed=9) @ root().T + sigma * normal(2000, PIXELS, seed=10)
    return float((images @ (found - exact).T).norm() / (images @ exact.T).norm())


def test_ambient_learns_pixels_that_it_is_never_shown():
    exact = posterior_mean(0.4, SHOWN)
    assert deviation(descend("ambient", 0.4), exact, 0.4) < 0.08
    assert deviation(exact * SHOWN.view(-1, 1), exact, 0.4) > 0.5  # the test would see if they were not learned


@pytest.mark.parametrize("added", [0.2, 0.6])
def test_tweedie_learns_from_noisy_images_alone(added):
    """At s^2 = s_tn^2 + added^2, the mean of the clean image, never seen."""
    level = (NATURE**2 + added**2) ** 0.5
    exact = posterior_mean(level)
    assert deviation(descend("tweedie", added), exact, level) < 0.08


def test_taking_noisy_images_for_the_truth_does_not():
    exact = posterior_mean(0.6)
    naive = covariance() + NATURE**2 * torch.eye(PIXELS)
    found = naive @ torch.linalg.inv(naive + (0.6**2 - NATURE**2) * torch.eye(PIXELS))
    assert deviation(found, exact, 0.6) > 0.2


@pytest.mark.parametrize("sigma", [0.15, 0.7])
def test_creative_is_right_on_both_sides_of_the_noise_of_its_data(sigma):
    assert deviation(descend("creative", sigma), posterior_mean(sigma), sigma) < 0.08


def test_creative_shows_no_clean_image_above():
    batch, denoiser = draw("creative"), Linear()
    noise = normal(COUNT, 1, 1, SIDE, SIDE, seed=3)
    poisoned = ImageBatch(batch.images * torch.nan, *(getattr(batch, name) for name in FIELDS))
    for sigma, finite in ((0.7, True), (0.15, False)):
        losses = RULES["creative"].loss(denoiser, poisoned, torch.full((COUNT,), sigma), noise)
        assert bool(losses.isfinite().all()) is finite


FIELDS = ("operator", "shown", "noisy", "noise_std", "names")


class Exact(Linear):
    """E[x | x + sigma z] at the level of the data and above; below times ``wrong``."""

    def __init__(self, wrong: float):
        super().__init__()
        self.wrong = wrong

    def forward(self, seen: Tensor, operator: Operator, sigma: Tensor) -> Tensor:
        level = sigma[:, None, None].square() * torch.eye(PIXELS)
        flat = torch.linalg.solve(covariance() + level, seen.flatten(1).unsqueeze(-1))
        below = torch.where(sigma < NATURE - 1e-4, self.wrong, 1.0)
        return ((covariance() @ flat).squeeze(-1) * below[:, None]).view_as(seen)


def test_consistency_knows_a_wrong_denoiser_below_the_noise_of_the_data():
    batch = draw("tweedie").part(0, 4)
    count = len(batch.noisy)
    sigma, noise = torch.full((count,), 0.4), normal(count, 2 * CHAIN + 2, 1, SIDE, SIDE, seed=3)
    terms = {}
    for wrong in (1.0, 0.8, 1.2):
        arguments = (Exact(wrong), batch, sigma, noise)
        terms[wrong] = float((tweedie_consistent(*arguments) - tweedie(*arguments)).mean())
    assert min(terms[0.8], terms[1.2]) > 0.01
    assert abs(terms[1.0]) < 0.15 * min(terms[0.8], terms[1.2])


def test_consistency_weighs_the_same_in_small_batches():
    """Of copies of one image: such parts of a batch as a process, or gradient accumulation, works on."""
    torch.manual_seed(0)
    denoiser = Linear()
    torch.nn.init.normal_(denoiser.matrix)
    added = []
    for count in (1, 2, 3, 4, 8):
        images = normal(1, 1, SIDE, SIDE, seed=3).expand(count, -1, -1, -1)
        whole = everything(images)
        batch = ImageBatch(images, whole, whole, images, torch.full((count,), NATURE), ("",) * count)
        noise = normal(1, 2 * CHAIN + 2, 1, SIDE, SIDE, seed=4).expand(count, -1, -1, -1, -1)
        sigma = torch.full((count,), 0.5)
        rules = [rule(denoiser, batch, sigma, noise).detach() for rule in (tweedie_consistent, tweedie)]
        added.append(float(torch.stack([losses.mean() for losses in rules]).diff()))
    assert abs(added[0]) > 0.01
    assert added == pytest.approx([added[0]] * len(added), rel=1e-3)
