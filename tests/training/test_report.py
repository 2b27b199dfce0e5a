"""The figures of a report, on draws whose errors are known."""

import math
from pathlib import Path

import pytest
import torch

from mri_ambient.measurement import Measurement
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Card, Prior
from mri_ambient.priors.denoisers import Architecture, UNetDenoiser
from mri_ambient.training.report import DRAWS, Complete, Row, judge, read_rows, remark, table, write_rows
from tests.operators import random_complex

SIZE, SPREAD, NOISE = 64, 0.3, 0.2


def white(*shape: int, seed: int) -> torch.Tensor:
    """Unit variance in the real and in the imaginary part."""
    return math.sqrt(2) * random_complex(shape, seed, torch.complex64)


def prior(kind: str) -> Prior:
    architecture = Architecture(denoiser="unet", widths=(8, 8))
    about = {"kind": kind, "matrix": (SIZE, SIZE), "pixel_mm": None, "images_seen": 7, "training": {}, "data": ""}
    return Prior(UNetDenoiser(architecture), Card.model_validate(about | {"architecture": architecture}), Path())


def scene() -> tuple[torch.Tensor, Measurement]:
    """Images of one coil, measured everywhere with noise."""
    images = white(2, SIZE, SIZE, seed=1)
    lines = torch.ones(2, 1, SIZE, dtype=torch.bool)
    kspace = fft2c(images)[:, None] + NOISE * white(2, 1, SIZE, SIZE, seed=2)
    levels = torch.full((2,), NOISE)
    return images, Measurement(kspace, Sense(torch.ones_like(kspace), lines), levels, (4, 4), ("a", "b"))


@pytest.mark.parametrize("draws", [1, DRAWS])
def test_calibrated_draws_are_found_calibrated(draws, tmp_path):
    """Truth and draws alike are the mean and an error of SPREAD; only the lines that are not shown are judged."""
    images, batch = scene()
    shown = batch.sense.mask.clone()
    shown[..., ::2] = False
    mean = images + SPREAD * white(2, SIZE, SIZE, seed=3)

    def e_step(_prior, measurement, generators):
        assert (measurement.kspace[..., ~measurement.sense.mask[0, 0]] == 0).all()
        assert (len(generators), len(generators[0])) == (DRAWS, 2)
        return mean + SPREAD * white(draws, 2, SIZE, SIZE, seed=4) * (draws > 1)

    row = judge(prior("image"), "lap1", e_step, [(batch, shown)], [Complete(batch, images)])
    energy, noise, error = 2 + 2 * NOISE**2, 2 * NOISE**2, 2 * SPREAD**2
    assert row.held_out_noise == pytest.approx(math.sqrt(noise / energy), rel=0.05)
    if draws == 1:
        assert row.held_out_one == row.held_out_mean == pytest.approx(math.sqrt((error + noise) / energy), rel=0.05)
        assert row.held_out_spread is row.image_spread is None
        return
    of_mean = error * (1 + 1 / DRAWS)
    assert row.held_out_one == pytest.approx(math.sqrt((2 * error + noise) / energy), rel=0.05)
    assert row.held_out_mean == pytest.approx(math.sqrt((of_mean + noise) / energy), rel=0.05)
    assert row.held_out_spread == pytest.approx(1, rel=0.04)
    assert row.image_spread == pytest.approx(math.sqrt(error / of_mean), rel=0.04)
    assert row.image_mean < row.image_one


def test_a_lap_that_loses_to_the_one_answer_is_told():
    ambient = Row("ambient", "masked", 7, 0.2, 0.2, 0.1, None)
    worse, better = (Row("lap1", "image", 8, 0.3, error, 0.1, 1.0) for error in (0.25, 0.15))
    said = remark([ambient, worse])
    assert said
    assert "(0.2500 against 0.2000)" in said
    assert remark([ambient, worse, better]) is None
    assert remark([worse]) is None


def test_rows_come_back_from_the_file_to_the_bit(tmp_path):
    rows = [
        Row("ambient", "masked", 7, 1 / 3, 0.1, 0.2, None),
        Row("lap1", "image", 8, 0.3, 2 / 3, 0.2, 1.1, 0.1, 0.2, 0.9),
    ]
    assert read_rows(tmp_path) == []
    write_rows(tmp_path, rows)
    assert read_rows(tmp_path) == rows
    shown = table(rows, "lap1")
    assert list(shown.columns[0].cells) == ["ambient", "lap1 *"]
