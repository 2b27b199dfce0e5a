"""Everything that is worked on elsewhere, on a device that is pretended: nothing mixes, and the numbers are the CPU's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from mri_ambient.api import reconstruct as reconstruct_scan
from mri_ambient.bart import installed
from mri_ambient.devices import PRECISION, device_of, fast_bfloat16
from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement, measurement_of
from mri_ambient.recon import run_methods
from mri_ambient.recon.e_step import e_step
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.recon.result import Result
from mri_ambient.store import PreparedVolume
from tests.pretended import DEVICE, pretended
from tests.recon.test_reconstruct import short, untrained


@pytest.fixture(autouse=True)
def single_precision(monkeypatch):
    """bfloat16 is asked of the device, and the pretended one hasn't it."""
    monkeypatch.setenv(PRECISION, "float32")


@pytest.fixture
def volume(undersampled: PreparedVolume) -> PreparedVolume:
    """Two slices of it."""
    keys = ("kspace", "mask", "sens_maps", "scale", "noise_std", "coil_transform", "coil_return")
    return replace(undersampled, **{key: getattr(undersampled, key)[:2] for key in keys})


@pytest.mark.parametrize(
    ("method", "kind"), [(name, kind) for name, method in METHODS.items() for kind in method.kinds or (None,)]
)
def test_every_method(method, kind, volume):
    if METHODS[method].needs_bart and not installed():
        pytest.skip("needs BART")
    prior = untrained(kind) if kind else None
    if prior and kind == "masked":  # so that its own masks can be drawn
        about = prior.card.model_dump() | {"training": {"accel": [3.0], "mask": "random"}}
        prior.card = type(prior.card).model_validate(about)
    here = reconstruct(volume, method, prior, 2, 0, short(method, 2))
    with pretended() as device:
        there = reconstruct(volume, method, prior, 2, 0, short(method, 2), device)
    assert torch.equal(here.samples, there.samples)
    assert torch.equal(here.measured_residual, there.measured_residual)


def test_a_forgotten_move_is_found(volume, monkeypatch):
    """The test of the test: a measurement that stays where it is meets a prior that moved."""
    monkeypatch.setattr(Measurement, "to", lambda self, device: self)
    with pretended() as device, pytest.raises(RuntimeError, match="tensors on meta and on cpu"):
        reconstruct(volume, "aos", untrained("masked"), 1, 0, None, device)


@pytest.mark.parametrize("kind", ["image", "masked", None])
def test_the_e_step(kind, volume):
    prior, settings = untrained(kind) if kind else None, MmpsSettings(steps=2)

    def streams() -> list[list[Generator]]:
        return [[Generator().manual_seed(10 * k + i) for i in range(2)] for k in range(2)]

    here = e_step(prior, measurement_of(volume), streams(), sampler=settings)
    with pretended() as device:
        there = e_step(prior and prior.to(device), measurement_of(volume).to(device), streams(), sampler=settings).cpu()
    assert torch.equal(here, there)


def test_a_prior_moves_and_the_first_stays():
    prior, images = untrained("image"), torch.randn(3, 48, 48, dtype=torch.complex64)
    here = prior.denoise(images, 0.3)
    with pretended() as device:
        moved = prior.to(device)
        there = moved.denoise(images.to(device), 0.3).cpu()
        of_module = moved.as_module()(torch.view_as_real(images).movedim(-1, 1).to(device), 0.3).cpu()
    assert torch.equal(here, there)
    assert torch.equal(torch.view_as_real(here).movedim(-1, 1), of_module)
    assert next(prior.denoiser.parameters()).device.type == "cpu"


def test_devices_by_name(monkeypatch):
    assert device_of("cpu").type == "cpu"
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    assert device_of("auto").type == "cpu"
    with pytest.raises(UserError, match=r"device cuda: is not here \(accelerators: none\); choose auto or cpu"):
        device_of("cuda")
    with pytest.raises(UserError, match="device gpu: is none that PyTorch knows; choose one of auto, cpu, cuda, mps"):
        device_of("gpu")


def test_the_accelerator_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert [device_of(name) for name in ("auto", "cuda:1")] == [torch.device("cuda"), torch.device("cuda", 1)]
    with pytest.raises(UserError, match=r"device cuda:2: is not here \(accelerators: 2 of cuda\)"):
        device_of("cuda:2")


def test_bfloat16_is_asked_of_the_device(monkeypatch):
    assert not fast_bfloat16(DEVICE)
    monkeypatch.delenv(PRECISION)
    assert not fast_bfloat16(DEVICE)
    for capability, fast in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert fast_bfloat16(torch.device("cuda")) == fast


@pytest.mark.parametrize(("method", "kind"), [("mmps", "image"), ("aos", "masked"), ("tv", None)])
def test_all_of_recon(method, kind, volume, monkeypatch):
    """The methods, the lines hidden from them, the share that the data determine."""
    prior = untrained(kind) if kind else "bundled"

    def run() -> Result:
        return reconstruct_scan(volume, method, prior, samples=2, beside=("zero-filled",))

    monkeypatch.setitem(METHODS, method, replace(METHODS[method], settings=short(method, 2)))
    here = run()
    monkeypatch.setattr(run_methods, "device_of", lambda name: DEVICE)
    with pretended():
        there = run()
    for name in ("mean", "raw_std", "samples", "determined_share"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name
    for one, other in zip(here.scores(), there.scores(), strict=True):
        assert replace(one, seconds=0) == replace(other, seconds=0)
