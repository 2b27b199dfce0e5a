"""A small U-Net over a 2x pixel-unshuffled image, told of its conditions (noise level, sampling) by FiLM."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, silu

UNSHUFFLE = 2


class UNet(nn.Module):
    """Real images ``[batch, in_channels, y, x]`` -> ``[batch, out_channels, y, x]``, any y and x.

    widths: channels of each level, each at half the resolution of the one before.
    conditions: how many numbers describe an image (FiLM: Perez et al., 2018).
    """

    def __init__(self, in_channels: int, out_channels: int, widths: tuple[int, ...], conditions: int):
        super().__init__()
        embedding = 2 * widths[0]
        self.embed = Embedding(conditions, embedding)
        self.enter = nn.Conv2d(in_channels * UNSHUFFLE**2, widths[0], 3, padding=1)
        before = (widths[0], *widths[:-1])
        self.down = nn.ModuleList(Block(a, b, embedding) for a, b in zip(before, widths, strict=True))
        self.middle = Block(widths[-1], widths[-1], embedding)
        self.up = nn.ModuleList(
            Block(2 * b, a, embedding) for a, b in zip(reversed(before), reversed(widths), strict=True)
        )
        self.leave = nn.Conv2d(widths[0], out_channels * UNSHUFFLE**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        self.multiple = UNSHUFFLE * 2 ** (len(widths) - 1)

    def forward(
        self, image: Float[Tensor, "batch c y x"], conditions: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "batch d y x"]:
        rows, columns = image.shape[-2:]
        image = pad(image, (0, -columns % self.multiple, 0, -rows % self.multiple))
        embedding = self.embed(conditions)
        hidden = self.enter(pixel_unshuffle(image, UNSHUFFLE).contiguous(memory_format=torch.channels_last))
        skips = []
        for level, block in enumerate(self.down):
            hidden = block(nn.functional.avg_pool2d(hidden, 2) if level else hidden, embedding)
            skips.append(hidden)
        hidden = self.middle(hidden, embedding)
        for level, block in enumerate(self.up):
            if level:
                hidden = nn.functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat([hidden, skips.pop()], 1), embedding)
        return pixel_shuffle(self.leave(silu(hidden)), UNSHUFFLE)[..., :rows, :columns]


class Block(nn.Module):
    """Two 3x3 convolutions around a FiLM, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, embedding: int):
        super().__init__()
        self.norm_in = nn.GroupNorm(8, in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * out_channels)
        self.norm_out = nn.GroupNorm(8, out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.film(embedding)[..., None, None].chunk(2, 1)
        inner = self.conv_in(silu(self.norm_in(hidden)))
        inner = self.norm_out(inner) * (1 + scale) + shift
        return self.shortcut(hidden) + self.conv_out(silu(inner))


class Embedding(nn.Module):
    """Each condition as sines and cosines of eight frequencies, then a small perceptron."""

    frequencies: Tensor

    def __init__(self, conditions: int, width: int, frequencies: int = 8):
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(-2, frequencies - 2), persistent=False)
        self.perceptron = nn.Sequential(
            nn.Linear(conditions * (2 * frequencies + 1), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, conditions: Float[Tensor, "batch n"]) -> Float[Tensor, "batch width"]:
        angles = (conditions[..., None] * self.frequencies).flatten(1)
        return self.perceptron(torch.cat([conditions, angles.sin(), angles.cos()], 1))
