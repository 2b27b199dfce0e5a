"""A prior in a folder: ``prior.safetensors`` and its card ``prior.json``. Never a pickle: nothing in it is executed."""

import hashlib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Complex, Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.images.denoiser import PixelArchitecture, PixelDenoiser, build_pixel_denoiser
from mri_ambient.physics.sense import whole_image
from mri_ambient.priors.denoisers import Architecture, Denoiser, build_denoiser, to_channels, to_complex
from mri_ambient.priors.runs import CARD

WEIGHTS = "prior.safetensors"
Network = TypeVar("Network", bound=nn.Module)


class Card(BaseModel):
    """What a prior is and how it was made.

    kind: `masked` estimates E[x | the lines it is shown]; `image` is a prior of whole images, for any mask;
    `pixel` is one of real images, learned in the image domain, which knows no coils: reconstruction can't use it.
    pixel_mm: the (y, x) pixel it was trained at, None if the scans didn't say.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["masked", "image", "pixel"]
    architecture: Architecture | PixelArchitecture = Field(discriminator="denoiser")
    matrix: tuple[int, int]
    pixel_mm: tuple[float, float] | None
    images_seen: int
    training: dict[str, Any]
    data: str
    licence: str = "Apache-2.0"
    weights_sha256: str = ""
    version: str = __version__


class Prior:
    """A denoiser ready to be called, and its card.

    Attributes:
        denoiser: D(kspace, sense, sigma), in evaluation mode, without gradients for its weights.
        card: what it is and how it was made.
        path: its folder.
    """

    def __init__(self, denoiser: Denoiser, card: Card, path: Path):
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.card = card
        self.path = path

    def to(self, device: torch.device | str) -> "Prior":
        """The same on another device; this one stays where it is."""
        parameters = next(self.denoiser.parameters(), None)
        if parameters is None or parameters.device == torch.device(device):
            return self
        return Prior(deepcopy(self.denoiser).to(device), self.card, self.path)

    def denoise(
        self, images: Complex[Tensor, "*batch y x"], sigma: float | Float[Tensor, "..."]
    ) -> Complex[Tensor, "*batch y x"]:
        """E[x | x + sigma z] of whole noisy images, z of unit variance in its real and in its imaginary part.

        Args:
            images: complex64, in units of the normalised image (see :func:`mri_ambient.prepare`).
            sigma: the noise level in the same units; one number, or a tensor that broadcasts to ``[*batch, 1, 1]``.

        Raises:
            UserError: the prior is a `masked` one, which denoises behind a scan's coils and lines.
        """
        if self.card.kind != "image":
            raise UserError(
                f"{self.path}: is a prior of kind `{self.card.kind}`, which denoises k-space, not images; choose an `image` one"
            )
        flat = images.reshape(-1, *images.shape[-2:])
        level = torch.as_tensor(sigma, dtype=flat.real.dtype, device=flat.device)
        levels = level.expand(*images.shape[:-2], 1, 1).flatten()
        sense = whole_image(flat)
        return self.denoiser(sense(flat), sense, levels).reshape(images.shape)

    def as_module(self) -> nn.Module:
        """An ``nn.Module`` on real channels, ``module(x, sigma)`` with x float32 [batch, 2, y, x] (real, imaginary part)
        and sigma one number or [batch]: what deepinv and others call a denoiser."""
        return _Channels(self)


class _Channels(nn.Module):
    def __init__(self, prior: Prior):
        super().__init__()
        self.denoiser, self._prior = prior.denoiser, prior

    def forward(self, x: Float[Tensor, "batch 2 y x"], sigma: float | Float[Tensor, "..."]) -> Tensor:
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
        return to_channels(self._prior.denoise(to_complex(x), level))


@dataclass(frozen=True)
class PixelPrior:
    """The same of kind `pixel`."""

    denoiser: PixelDenoiser
    card: Card
    path: Path


def save_prior(folder: Path, denoiser: nn.Module, card: Card) -> Card:
    """Write weights, then the card that carries their hash; returns that card."""
    weights = save({name: value.contiguous() for name, value in denoiser.state_dict().items()})
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    with atomic_write(folder / WEIGHTS) as temporary:
        temporary.write_bytes(weights)
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n")
    return card


def read_card(folder: Path) -> Card:
    """Raises UserError if the folder holds no valid card."""
    path = folder / CARD
    try:
        return Card.model_validate_json(path.read_text())
    except OSError as error:
        raise UserError(f"{folder}: holds no {CARD}; give a prior's folder, made with `mri-ambient train`") from error
    except ValidationError as error:
        raise UserError(f"{path}: is not a prior's card ({first_problem(error)}); restore it or train again") from error


def first_problem(error: ValidationError) -> str:
    """Where, and what is wrong there."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def load_prior(folder: Path) -> Prior:
    """Raises UserError if a file is missing, the weights are not those of the card, or the prior is a `pixel` one."""
    card = read_card(folder)
    if isinstance(card.architecture, PixelArchitecture):
        raise UserError(
            f"{folder}: is a `pixel` prior, of images without coils or k-space, that only `mri-ambient train-images` can use; "
            "choose another --prior"
        )
    return Prior(_with_weights(folder, card, build_denoiser(card.architecture)), card, folder)


def load_pixel_prior(folder: Path) -> PixelPrior:
    """Raises UserError if a file is missing, the weights are not those of the card, or the prior is not a `pixel` one."""
    card = read_card(folder)
    if not isinstance(card.architecture, PixelArchitecture):
        raise UserError(
            f"{folder}: is a prior of kind `{card.kind}`, not `pixel`; choose one of `mri-ambient train-images`"
        )
    denoiser = _with_weights(folder, card, build_pixel_denoiser(card.architecture))
    return PixelPrior(denoiser.eval().requires_grad_(False), card, folder)


def _with_weights(folder: Path, card: Card, denoiser: Network) -> Network:
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: is missing; restore the weights beside their {CARD}") from error
    if hashlib.sha256(data).hexdigest() != card.weights_sha256:
        raise UserError(f"{path}: is not the file its card describes (hash differs); restore both from one prior")
    try:
        denoiser.load_state_dict(load(data))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit the architecture of its card; restore both from one prior") from error
    return denoiser
