import csv
import json
import shutil
import sys
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from mri_ambient.audit.images import held_out_images, training_images
from mri_ambient.audit.memorisation import FEATURES, THRESHOLDS, audit, bandpass, measure, nearest, pixel
from mri_ambient.cli import main
from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Card, Prior, load_prior, save_prior
from mri_ambient.priors.denoisers import Architecture, build_denoiser
from mri_ambient.priors.sample_file import write_samples
from mri_ambient.store import read_volume, write_volume
from mri_ambient.training.data import read_volumes, split

SIZE = 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heads(count: int, seed: int) -> Tensor:
    """Discs of nearly one shape, as heads are, each with folds of its own."""
    noise = torch.randn(count, SIZE, SIZE, generator=generator(seed))
    axis = torch.linspace(-1, 1, SIZE)
    disc = torch.sigmoid((0.7 - torch.hypot(axis[:, None], axis)) * 20)
    frequency = torch.fft.fftfreq(SIZE) * SIZE
    smooth = torch.fft.ifft2(torch.fft.fft2(noise) * ((frequency[:, None] ** 2 + frequency**2) < 64)).real
    return disc * (1 + 0.5 * smooth / smooth.std())


TRAINING, OTHERS, FRESH = heads(40, 1), heads(30, 2), heads(30, 3)


@pytest.mark.parametrize("feature", FEATURES)
def test_copies_are_found(feature):
    which = torch.randperm(40, generator=generator())[:20]
    samples = TRAINING[which] + 0.05 * torch.randn(20, SIZE, SIZE, generator=generator(4))
    found = audit(samples, TRAINING, OTHERS, FEATURES[feature])
    assert torch.equal(found.sample_neighbours, which)
    assert found.nearer
    assert not found.further
    assert (found.samples > max(THRESHOLDS)).all()
    assert [m.samples for m in found.measures[:3]] == [1, 1, 1]
    assert found.measures[0].interval[0] > 0.8


def test_a_copy_may_move_a_little_and_change_its_grey_scale():
    samples = torch.cat([TRAINING[:10].clamp_min(0) ** 0.8, TRAINING[10:20].roll(1, -1) / 2 + TRAINING[10:20] / 2])
    near, neighbours = nearest(samples, TRAINING, bandpass)
    assert neighbours.tolist() == list(range(20))
    assert near[:10].min() > 0.98
    assert near[10:].min() > 0.85


@pytest.mark.parametrize("feature", FEATURES)
def test_independent_images_are_no_copies(feature):
    found = audit(FRESH, TRAINING, OTHERS, FEATURES[feature])
    assert not found.nearer
    assert not found.further
    assert found.samples.max() < min(THRESHOLDS)


def test_the_common_shape_of_heads_weighs_less_in_the_band():
    medians = [nearest(OTHERS, TRAINING, feature)[0].median() for feature in (bandpass, pixel)]
    assert medians[0] < medians[1] - 0.1


def test_samples_that_are_no_heads_are_said_to_be_further():
    blank = torch.randn(20, SIZE, SIZE, generator=generator(5))
    assert audit(blank, TRAINING, OTHERS).further


def test_phase_and_scale_change_nothing():
    phases = torch.exp(2j * torch.pi * torch.rand(30, 1, 1, generator=generator(6)))
    plain = audit(FRESH.abs(), TRAINING.abs(), OTHERS.abs())
    turned = audit(3 * FRESH * phases, 0.1 * TRAINING * phases[:1], OTHERS * phases)
    torch.testing.assert_close(turned.samples, plain.samples)
    torch.testing.assert_close(turned.held_out, plain.held_out)
    assert torch.equal(turned.sample_neighbours, plain.sample_neighbours)


def test_channels_count_together_and_features_may_be_anyones():
    """Images that are alike in one channel of two; a feature that looks at that channel only."""
    samples = torch.stack([TRAINING[:10], FRESH[:10]], 1)
    training, held_out = TRAINING[:, None].repeat(1, 2, 1, 1), OTHERS[:, None].repeat(1, 2, 1, 1)
    assert audit(samples, training, held_out).samples.max() < 0.95
    seen = audit(samples, training, held_out, lambda images: images[:, 0])
    torch.testing.assert_close(seen.samples, torch.ones(10))
    assert seen.sample_neighbours.tolist() == list(range(10))


def test_chunks_change_nothing():
    features = [bandpass(images) for images in (FRESH, TRAINING)]
    ours, theirs = (f / f.norm(dim=1, keepdim=True) for f in features)
    expected = (ours @ theirs.T).max(1)
    for chunk in (1, 7, 40, 100):
        near, neighbours = nearest(FRESH, TRAINING, bandpass, chunk)
        torch.testing.assert_close(near, expected.values)
        assert torch.equal(neighbours, expected.indices)


def test_the_baseline_is_subtracted():
    """By hand: of 10 samples 4 beyond 0.95 and 6 beyond 0.9, of 20 held-out images 1 and 2, whose 95 % quantile is 0.9425."""
    samples = torch.tensor([0.96] * 4 + [0.92] * 2 + [0.5] * 4)
    held_out = torch.tensor([0.98, 0.94] + [0.3] * 18)
    found = measure(samples, held_out, range(20), generator())
    assert [m.samples for m in found] == pytest.approx([0.4, 0.6, 0.4, 0.92])
    assert [m.held_out for m in found] == pytest.approx([0.05, 0.1, 0.05, 0.3])
    assert [m.excess for m in found] == pytest.approx([0.35, 0.5, 0.35, 0.62])
    assert all(m.interval[0] <= m.excess <= m.interval[1] for m in found)
    # the share beyond 0.9 is binomial in both sets: its excess has the std (0.6 0.4 / 10 + 0.1 0.9 / 20)^1/2 = 0.169
    low, high = found[1].interval
    assert high - low == pytest.approx(2 * 1.96 * 0.169, rel=0.15)


def test_images_of_one_subject_are_drawn_together():
    samples, held_out = torch.full((50,), 0.5), torch.tensor([0.95] * 20 + [0.1] * 20)
    apart = measure(samples, held_out, range(40), generator())[1].interval
    together = measure(samples, held_out, [i // 20 for i in range(40)], generator())[1].interval
    assert together == (-1, 0)
    assert apart[1] - apart[0] < 0.4


def test_a_constant_image_is_like_no_other():
    near, _ = nearest(torch.ones(1, SIZE, SIZE), TRAINING, pixel)
    assert near.abs().max() < 1e-3


def test_sets_that_cannot_be_compared():
    with pytest.raises(UserError, match="training images: 3 are too few"):
        audit(FRESH, TRAINING[:3], OTHERS)
    with pytest.raises(UserError, match="held-out images: are 30 x 32 where the samples are 32 x 32"):
        audit(FRESH, TRAINING, OTHERS[:, 1:-1])
    with pytest.raises(UserError, match="samples: have values that are not finite"):
        audit(FRESH * torch.nan, TRAINING, OTHERS)
    with pytest.raises(UserError, match="2 for 30 held-out images"):
        audit(FRESH, TRAINING, OTHERS, subjects=("a", "b"))


# ---------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in an empty folder; returns (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(line: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mri-ambient", *line.split()])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out + captured.err

    return run


def prior_in(folder: Path, kind: str) -> Prior:
    torch.manual_seed(0)
    architecture = Architecture(denoiser="unet", widths=(8, 8), iterations=2)
    training = {"accel": [3.0], "mask": "random"}
    card = Card(
        kind=kind, architecture=architecture, matrix=(48, 48), pixel_mm=None, images_seen=1, training=training, data=""
    )
    save_prior(folder, build_denoiser(architecture), card)
    return load_prior(folder)


def full_images(prepared: Path) -> list[Tensor]:
    volumes = [read_volume(path) for path in sorted(prepared.glob("*.h5"))]
    return [Sense(volume.sens_maps, volume.mask).adjoint(volume.kspace) for volume in volumes]


@pytest.fixture
def run_folder(tmp_path, prepared) -> Path:
    """A run of one lap whose training images are two draws of the first scan's; nobody says whom it held out."""
    prior_in(tmp_path / "run", "masked")
    prior_in(tmp_path / "run" / "lap1", "image")
    (tmp_path / "run" / "lap1" / "images").mkdir()
    image = full_images(prepared)[0]
    with h5py.File(tmp_path / "run" / "lap1" / "images" / "subject_0.h5", "w") as file:
        file["image"] = torch.stack([image, 1j * image.flip(-1)]).numpy()
    return tmp_path / "run"


def others_in(folder: Path, prepared: Path) -> Path:
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copy(prepared / "subject_1.h5", folder / f"{name}.h5")
    return folder


def test_the_command_finds_copies_in_a_sample_file(typed, tmp_path, run_folder, prepared):
    others_in(tmp_path / "others", prepared)
    first = full_images(prepared)[0]
    write_samples(tmp_path / "s.h5", torch.cat([first, first.flip(-1)]).numpy(), {"seed": 0})
    code, said = typed("audit --prior run --samples s.h5 --held-out others")
    assert code == 0, said
    assert "100% of the samples are nearer to a training image than 95% of the held-out images" in said
    assert "more than chance allows" in said
    summary = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert (summary["nearer"], summary["training_images"], summary["held_out_subjects"]) == (True, 8, 1)
    with (tmp_path / "audit" / "neighbours.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert [row["nearest_training_image"] for row in rows if row["set"] == "sample"] == [
        f"subject_0 draw {draw} slice {i}" for draw in range(2) for i in range(4)
    ]
    assert rows[8]["image"] == "a slice 0"
    assert (tmp_path / "audit" / "audit.png").read_bytes().startswith(b"\x89PNG")
    before = (tmp_path / "audit" / "audit.json").read_bytes()
    code, said = typed("audit --prior run --samples s.h5 --held-out others --feature pixel")
    assert (code, "audit/audit.json: already exists; pass --force" in said) == (2, True)
    assert (tmp_path / "audit" / "audit.json").read_bytes() == before
    assert typed("audit --prior run --samples s.h5 --held-out others --feature pixel --force")[0] == 0
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["feature"] == "pixel"


def test_the_command_draws_samples(typed, tmp_path, run_folder, prepared):
    others_in(tmp_path / "others", prepared)
    code, said = typed("audit --prior run --number 8 --steps 2 --held-out others --training others --out a")
    assert (code, "8 samples" in said) == (0, True), said
    assert "held-out images are as near as copies" in said  # they are the training images here
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["audit.json", "audit.png", "neighbours.csv"]


def test_undersampled_held_out_scans_are_seen_as_the_e_step_sees_them(tmp_path, run_folder, undersampled):
    write_volume(tmp_path / "under" / "scan.h5", undersampled)
    found = held_out_images(load_prior(run_folder / "lap1"), (48, 48), tmp_path / "under")
    u = undersampled
    expected = load_prior(run_folder).denoiser.from_measurements(measurement_of(u)).abs()
    torch.testing.assert_close(found.magnitudes, expected)
    assert found.places == tuple(f"scan slice {i}" for i in range(4))
    with pytest.raises(UserError, match="scan.h5: is undersampled"):
        training_images(load_prior(run_folder), (48, 48), tmp_path / "under")


def test_a_masked_prior_is_compared_with_its_runs_full_scans(tmp_path, prepared):
    prior = prior_in(tmp_path / "run", "masked")
    one = next(share / 100 for share in range(100) if len(split(read_volumes(prepared), share / 100)[1]) == 1)
    settings = {"data": str(prepared), "hold_out": one, "ambient": {"images": 1}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(settings))
    trained, held_out = (find(prior, (48, 48)) for find in (training_images, held_out_images))
    assert {name.split()[0] for name in trained.places} | {name.split()[0] for name in held_out.places} == {
        "subject_0",
        "subject_1",
    }
    number = int(trained.places[0].split()[0][-1])
    torch.testing.assert_close(trained.magnitudes, full_images(prepared)[number].abs())
    torch.testing.assert_close(held_out.magnitudes, full_images(prepared)[1 - number].abs())


def test_what_is_missing_is_named(typed, tmp_path, run_folder, prepared):
    write_samples(tmp_path / "s.h5", torch.ones(8, 48, 48, dtype=torch.complex64).numpy(), {})
    write_samples(tmp_path / "small.h5", torch.ones(8, 24, 24, dtype=torch.complex64).numpy(), {})
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.h5").write_text("no")
    for options, measurement in {
        "--samples s.h5": "run/lap1: has no run.json",
        "--samples s.h5 --training nowhere": "nowhere: holds no images and no prepared volumes; pass --training FOLDER",
        "--samples s.h5 --held-out bad": "bad/text.h5: holds no images and is no prepared volume",
        "--samples small.h5": "images: holds no image of 24x24",
        "--samples text.h5": "text.h5: can't be read as samples",
        "--samples absent.h5": "absent.h5: can't be read as samples",
        "--feature dino": "--feature dino: is not one of bandpass, pixel",
    }.items():
        code, said = typed(f"audit --prior run {options}")
        assert code == 2, options
        *_, last = said.splitlines()
        assert last.startswith("mri-ambient: ")
        assert measurement in last
    (run_folder / "run.json").write_text(json.dumps({"data": "gone", "ambient": {"images": 1}}))
    assert "gone: holds no prepared volume" in typed("audit --prior run --samples s.h5")[1]
    settings = {"data": str(prepared), "hold_out": 0, "ambient": {"images": 1}}
    (run_folder / "run.json").write_text(json.dumps(settings))
    assert "held no subject of" in typed("audit --prior run --samples s.h5")[1]
    assert not (tmp_path / "audit").exists()
