"""Maps are found where they are told to be, on nothing but that device, and are the CPU's."""

from dataclasses import replace

import pytest
import torch

from mri_ambient.data_prep import prepare as prepare_module
from mri_ambient.data_prep.coils import find_maps
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate
from mri_ambient.errors import UserError
from tests.pretended import DEVICE, pretended

SETTINGS = PrepareSettings(accel=4, acs=8, map_sets="1")


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulateSettings(matrix=64, slices=1, coils=8, seed=3))


@pytest.mark.parametrize("changed", [{"maps": "joint"}, {"maps": "espirit"}, {"map_sets": "2"}, {"maps": "sigpy"}])
def test_the_volume_is_the_cpus_and_on_the_cpu(scan, monkeypatch, changed):
    settings = replace(SETTINGS, **changed)
    here = prepare(scan, settings, "cpu")
    monkeypatch.setattr(prepare_module, "maps_device", lambda name: DEVICE)
    seen, calibrate = [], find_maps.calibrate
    monkeypatch.setattr(find_maps, "calibrate", lambda k, *rest: seen.append(k.device) or calibrate(k, *rest))
    with pretended():
        there = prepare(scan, settings)
    assert seen == [DEVICE]
    for name in ("kspace", "sens_maps", "second_maps"):
        one, other = getattr(here, name), getattr(there, name)
        assert (one is None and other is None) or torch.equal(one, other)
    assert here.provenance == there.provenance
    joint = "joint" in (settings.maps, here.provenance["maps"].split(",")[0])
    assert here.provenance["refined_slices"] == ([0] if joint else [])


def test_a_device_that_is_not_there(scan):
    with pytest.raises(UserError, match="device cuda:7: is not here"):
        prepare(scan, SETTINGS, "cuda:7")
