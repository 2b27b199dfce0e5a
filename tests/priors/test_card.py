import json

import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.priors.card import WEIGHTS, Card, load_prior, save_prior
from mri_ambient.priors.denoisers import Architecture, build_denoiser
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BEST, BUNDLED, CARD

ARCHITECTURE = Architecture(denoiser="unet", widths=(8, 8))


def save(folder, kind: str = "image"):
    torch.manual_seed(1)
    denoiser = build_denoiser(ARCHITECTURE)
    card = Card(
        kind=kind,
        architecture=ARCHITECTURE,
        matrix=(48, 48),
        pixel_mm=(1.8, 1.8),
        images_seen=3,
        training={},
        data="8 slices; 2 simulated scans",
    )
    return denoiser, save_prior(folder, denoiser, card)


def test_round_trip(tmp_path):
    denoiser, card = save(tmp_path)
    prior = load_prior(tmp_path)
    assert prior.card == card
    for name, value in denoiser.state_dict().items():
        assert torch.equal(prior.denoiser.state_dict()[name], value)
    assert not any(p.requires_grad for p in prior.denoiser.parameters())


@pytest.mark.parametrize("folder", [BUNDLED, BUNDLED / "lap1"])
def test_a_card_is_written_as_it_was_read(folder, tmp_path):
    """Every setting of the training, also those that nobody asks for."""
    prior = load_prior(folder)
    save_prior(tmp_path, prior.denoiser, prior.card)
    assert json.loads((tmp_path / CARD).read_text()) == json.loads((folder / CARD).read_text())
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert prior.card.training.accel == tuple(json.loads((folder / CARD).read_text())["training"]["accel"])


@pytest.mark.parametrize("missing", [CARD, WEIGHTS])
def test_a_missing_file(tmp_path, missing):
    save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=missing):
        load_prior(tmp_path)


def test_weights_of_another_prior(tmp_path):
    save(tmp_path)
    weights = bytearray((tmp_path / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(weights)
    with pytest.raises(UserError, match="hash differs"):
        load_prior(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "kind"),
        ({"surprise": 1}, "surprise"),
        ({"architecture": {"denoiser": "unet", "widths": [16, 16]}}, "does not fit the architecture"),
    ],
)
def test_a_card_that_does_not_match(tmp_path, change, message):
    save(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps(card | change))
    with pytest.raises(UserError, match=message):
        load_prior(tmp_path)


def test_the_newest_run_is_preferred_and_the_last_lap_in_it(tmp_path):
    runs = tmp_path / "runs"
    assert find_prior(("image",), None, runs).path.is_relative_to(BUNDLED)
    save(runs / "a", "masked")
    save(runs / "a" / "lap1")
    save(runs / "a" / "lap2")
    assert find_prior(("image", "masked"), None, runs).path == runs / "a" / "lap2"
    assert find_prior(("masked",), None, runs).path == runs / "a"
    save(runs / "b", "masked")
    assert find_prior(("image", "masked"), None, runs).path == runs / "b"
    with pytest.raises(UserError, match="no prior of kind image"):
        find_prior(("image",), None, runs)
    with pytest.raises(UserError, match="holds no prior.json"):
        find_prior(("image",), tmp_path / "nowhere", runs)


def test_the_lap_that_a_run_chose_is_preferred(tmp_path):
    save(tmp_path, "masked")
    for lap in (2, 9, 10):
        save(tmp_path / f"lap{lap}")
    assert find_prior(("image",), tmp_path).path == tmp_path / "lap10"
    (tmp_path / BEST).write_text('{"prior": "lap2"}')
    assert find_prior(("image", "masked"), tmp_path).path == tmp_path / "lap2"
    assert find_prior(("masked",), tmp_path).path == tmp_path
    assert find_prior(("image",), tmp_path / "lap9").path == tmp_path / "lap9"
    (tmp_path / BEST).write_text("[]")
    with pytest.raises(UserError, match="best.json: does not name a prior"):
        find_prior(("image",), tmp_path)


@pytest.mark.parametrize("kind", ["masked", "image"])
def test_bundled_prior(kind):
    prior = find_prior((kind,), BUNDLED)
    assert prior.card.images_seen >= 30_000
    assert "from the weights of prior" in prior.card.data
    assert prior.card.matrix == (128, 128)
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*")) < 12e6
