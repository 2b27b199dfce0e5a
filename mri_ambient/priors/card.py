"""A prior in a folder: ``prior.safetensors`` and its card ``prior.json``. Never a pickle: nothing in it is executed."""

import hashlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from jaxtyping import Complex, Float
from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.physics.sense import whole_image
from mri_ambient.priors.denoisers import Architecture, Denoiser, build_denoiser, to_channels, to_complex
from mri_ambient.priors.runs import CARD, PIXEL, kind_of

WEIGHTS = "prior.safetensors"
Network = TypeVar("Network", bound=nn.Module)
Kind = TypeVar("Kind", bound=str)
Described = TypeVar("Described", bound=BaseModel)
Settings = TypeVar("Settings", bound=BaseModel)
AnyCard = TypeVar("AnyCard", bound="CardOf")


class CardOf(BaseModel, Generic[Kind, Described, Settings]):
    """What a prior is and how it was made, whatever kinds there are.

    Attributes:
        kind: what it estimates.
        architecture: from which its denoiser is built.
        matrix: (y, x) it was trained at.
        pixel_mm: the (y, x) pixel it was trained at, None if the scans didn't say.
        images_seen: in training.
        training: the settings it was trained with.
        data: what it was trained on, in words.
        licence: of the weights.
        weights_sha256: of the file of weights.
        version: of the package that wrote it.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    architecture: Described
    matrix: tuple[int, int]
    pixel_mm: tuple[float, float] | None
    images_seen: int
    training: Settings
    data: str
    licence: str = "Apache-2.0"
    weights_sha256: str = ""
    version: str = __version__


class Training(BaseModel):
    """The settings of a prior's training that others ask for; all else that its run said is kept, and written again.

    Attributes:
        images: seen in all, as planned.
        accel: the accelerations R it was trained at; none if it doesn't say.
        mask: the kind of its masks.
        loss: the name of its rule.
    """

    model_config = ConfigDict(extra="allow")

    images: int = 0
    accel: tuple[float, ...] = ()
    mask: str = ""
    loss: str = ""

    @model_serializer(mode="wrap")
    def _as_given(self, write: Callable[["Training"], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}


class Card(CardOf[Literal["masked", "image"], Architecture, Training]):
    """Of kind `masked` a prior estimates E[x | the lines it is shown]; an `image` one is of whole images, for any mask."""


class Prior:
    """A denoiser ready to be called, and its card.

    Attributes:
        denoiser: D(kspace, sense, sigma), in evaluation mode, without gradients for its weights.
        card: what it is and how it was made.
        path: its folder, as it was named.
        folder: the same, wherever the program goes meanwhile.
    """

    def __init__(self, denoiser: Denoiser, card: Card, path: Path):
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.card = card
        self.path = path
        self.folder = path.absolute()

    def __repr__(self) -> str:
        """One line."""
        return f"Prior({self.path}: {self.card.kind}, {self.card.images_seen:,} images of {self.card.data})"

    @property
    def is_own(self) -> bool:
        """Whether it is a denoiser of the caller's own, of which no more is known."""
        return not self.card.weights_sha256

    def to(self, device: torch.device | str) -> "Prior":
        """The same on another device; this one stays where it is."""
        here, there = next(self.denoiser.parameters(), None), torch.device(device)
        if here is None or (here.device.type == there.type and there.index in (None, here.device.index)):
            return self
        return Prior(deepcopy(self.denoiser).to(there), self.card, self.path)

    def denoise(
        self, images: Complex[Tensor, "*batch y x"], sigma: float | Float[Tensor, "..."]
    ) -> Complex[Tensor, "*batch y x"]:
        """E[x | x + sigma z] of whole noisy images, z of unit variance in its real and in its imaginary part.

        Args:
            images: complex64, in units of the normalised image (see :func:`mri_ambient.prepare`).
            sigma: the noise level in the same units; above 0; one number, or one an image, ``[*batch]`` or ``[*batch, 1, 1]``.

        Raises:
            UserError: the prior is a `masked` one, which denoises behind a scan's coils and lines; the images aren't
            complex, or
                sigma isn't above 0.
        """
        if self.card.kind != "image":
            raise UserError(
                f"{self.path}: is a prior of kind `{self.card.kind}`, which denoises k-space, not images; choose an `image` one"
            )
        if not isinstance(images, Tensor) or not images.is_complex():
            raise UserError(
                f"{self.path}: denoises complex images of torch, not {getattr(images, 'dtype', type(images).__name__)}; pass "
                "torch.complex64"
            )
        flat = images.reshape(-1, *images.shape[-2:]).to(torch.complex64)
        level = torch.as_tensor(sigma, dtype=torch.float32).to(flat.device)
        if not (level > 0).all():
            raise UserError(f"{self.path}: sigma has to be above 0; it is the noise level of each part of the images")
        if level.ndim and level.shape[-2:] != (1, 1):
            level = level[..., None, None]  # one an image
        levels = level.expand(*images.shape[:-2], 1, 1).flatten()
        sense = whole_image(flat)
        return self.denoiser(sense(flat), sense, levels).reshape(images.shape)

    def as_module(self) -> nn.Module:
        """An ``nn.Module`` on real channels, ``module(x, sigma)`` with x float32 [batch, 2, y, x] (real, imaginary part)
        and sigma one number or [batch]: what deepinv and others call a denoiser."""
        return PriorModule(self)


class PriorModule(nn.Module):
    """A prior as :meth:`Prior.as_module` gives it."""

    def __init__(self, prior: Prior):
        super().__init__()
        self.denoiser, self.prior = prior.denoiser, prior

    def forward(self, x: Float[Tensor, "batch 2 y x"], sigma: float | Float[Tensor, "..."]) -> Tensor:
        """E[x | x + sigma z]; sigma one number, or one an image."""
        level = torch.as_tensor(sigma, dtype=x.dtype).to(x.device).reshape(-1, 1, 1)
        return to_channels(self.prior.denoise(to_complex(x), level))


def save_prior(folder: Path, denoiser: nn.Module, card: AnyCard) -> AnyCard:
    """Write weights, then the card that carries their hash; returns that card."""
    weights = save({name: value.contiguous() for name, value in denoiser.state_dict().items()})
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    with atomic_write(folder / WEIGHTS) as temporary:
        temporary.write_bytes(weights)
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n")
    return card


def read_card(folder: Path) -> Card:
    """Raises UserError if the folder holds no valid card, or a `pixel` prior's."""
    if kind_of(folder) == PIXEL:
        raise UserError(
            f"{folder}: is a `pixel` prior, of images without coils or k-space, that only `mri-ambient train-images` can use; "
            "choose another --prior"
        )
    return parse_card(folder, Card)


def parse_card(folder: Path, card: type[AnyCard]) -> AnyCard:
    """The card of that type. Raises UserError if the folder holds none that is valid."""
    path = folder / CARD
    try:
        return card.model_validate_json(path.read_text())
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
    return Prior(load_weights(folder, card.weights_sha256, build_denoiser(card.architecture)), card, folder)


def load_weights(folder: Path, sha256: str, denoiser: Network) -> Network:
    """``denoiser`` with the folder's weights. Raises UserError if they are missing, don't fit, or have another hash."""
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: is missing; restore the weights beside their {CARD}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: is not the file its card describes (hash differs); restore both from one prior")
    try:
        denoiser.load_state_dict(load(data))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit the architecture of its card; restore both from one prior") from error
    return denoiser
