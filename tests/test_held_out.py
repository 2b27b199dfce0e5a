import pytest
import torch
from torch import Generator

from mri_ambient.held_out import held_out_error, noise_energy, parted, shown_part
from mri_ambient.measurement import Measurement
from mri_ambient.physics.acs import acs_mask
from mri_ambient.physics.masks import remove_lines
from mri_ambient.physics.sense import Sense

SIZE, ACS = 24, 6


def lines(seed: int = 0) -> torch.Tensor:
    return acs_mask(SIZE, ACS) | (torch.rand(SIZE, generator=Generator().manual_seed(seed)) < 0.6)


def shown(mask: torch.Tensor, seed: int = 0, **options: float) -> torch.Tensor:
    return shown_part(mask, (ACS, ACS), Generator().manual_seed(seed), **options)


@pytest.fixture
def measurement() -> Measurement:
    """Two slices of noise behind three coils."""
    maps = torch.randn(2, 3, SIZE, SIZE, dtype=torch.complex64, generator=Generator().manual_seed(1))
    maps = maps / maps.norm(dim=1, keepdim=True)
    mask = torch.stack([lines(0), lines(1)])[:, None]
    kspace = torch.randn(2, 3, SIZE, SIZE, dtype=torch.complex64, generator=Generator().manual_seed(2))
    kspace = torch.where(mask[:, None], kspace, 0)
    return Measurement(kspace, Sense(maps, mask), torch.tensor([0.5, 2.0]), (ACS, ACS), ("a", "b"))


def test_lines_are_hidden_as_training_hides_them():
    mask = lines()
    outer = int(mask.sum()) - ACS
    expected = remove_lines(mask, ACS, round(0.3 * outer), Generator().manual_seed(5))
    assert torch.equal(shown(mask[None], 5)[0], expected)
    assert int((mask & ~shown(mask[None], share=0.5)[0]).sum()) == round(0.5 * outer)


@pytest.mark.parametrize("rows", [(0, 17), (5, SIZE), (0, SIZE)])
def test_lines_of_a_band_are_hidden_whole_and_are_those_of_a_line_mask(rows):
    band = torch.zeros(SIZE, 1, dtype=torch.bool)
    band[slice(*rows)] = True
    mask = band & lines()
    assert torch.equal(shown(mask), band & shown(lines()[None]))


def test_of_scattered_samples_each_is_one_and_the_centre_stays():
    centre = acs_mask(SIZE, ACS)[:, None] & acs_mask(SIZE, ACS)
    mask = centre | (torch.rand(SIZE, SIZE, generator=Generator().manual_seed(3)) < 0.3)
    kept = shown(mask)
    assert int((mask & ~kept).sum()) == round(0.3 * int((mask & ~centre).sum()))
    assert kept[centre].all()
    assert not (kept & ~mask).any()


def test_at_least_one_line_is_hidden_if_there_is_any():
    alone = acs_mask(SIZE, ACS)
    assert torch.equal(shown(alone[None])[0], alone)
    one = alone.clone()
    one[2] = True
    assert torch.equal(shown(one[None])[0], alone)


def test_the_error_is_that_of_the_hidden_samples_alone(measurement):
    seen, lines = parted(measurement, torch.stack([shown(mask) for mask in measurement.sense.mask]))
    hidden = lines.sense.mask
    torch.testing.assert_close(seen.kspace + lines.kspace, measurement.kspace)
    images = torch.randn(4, 2, SIZE, SIZE, dtype=torch.complex64, generator=Generator().manual_seed(4))
    wrong, energy = held_out_error(lines, images)
    assert wrong.shape == (4, 2, SIZE)
    everywhere = measurement.sense.with_mask(torch.ones(SIZE, dtype=torch.bool))(images) - measurement.kspace
    expected = everywhere.abs().square().sum((-3, -2)) * hidden[:, 0]
    torch.testing.assert_close(wrong, expected)
    torch.testing.assert_close(energy, measurement.kspace.abs().square().sum((1, 2)) * hidden[:, 0])
    torch.testing.assert_close(held_out_error(lines, images[0])[0], wrong[0])
    nothing, energy = held_out_error(lines, 0 * images[0])
    assert torch.equal(nothing, energy)


def test_noise_is_counted_once_a_hidden_sample_of_every_coil(measurement):
    hidden = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    hidden[0, :7, 3] = True
    hidden[1, :, 4] = True
    expected = torch.zeros(2, SIZE)
    expected[0, 3], expected[1, 4] = 2 * 0.25 * 3 * 7, 2 * 4 * 3 * SIZE
    torch.testing.assert_close(noise_energy(measurement.with_mask(hidden)), expected)
