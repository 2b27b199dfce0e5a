"""Seeds that are the same in every process and on every machine."""

import hashlib

import torch
from torch import Generator


def seed_of(volume: str, slice_index: int, number: float, purpose: str) -> int:
    """A hash of (volume, slice, number, purpose), below 2^56.

    Args:
        volume: a name that stays, such as a prepared volume's.
        slice_index: from 0.
        number: an acceleration, or another number that tells draws apart, such as the user's seed; a whole number counts to
            its last digit, any other as ``:g`` writes it.
        purpose: what is drawn, such as the kind of a mask.

    Example:
        >>> seed_of("scan", 0, 4, "random") == seed_of("scan", 0, 4, "random")
        True
    """
    written = str(number) if isinstance(number, int) else f"{number:g}"
    name = f"{volume}|{slice_index}|{written}|{purpose}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def streams(generator: Generator, count: int) -> list[Generator]:
    """Generators of their own for ``count`` draws of one kind: the first of them are the same whatever the count.

    Args:
        generator: moves on by one number, however many are asked for.
        count: such as that of samples.

    Example:
        >>> one, two = (streams(Generator().manual_seed(3), count)[0] for count in (1, 2))
        >>> torch.equal(torch.randn(4, generator=one), torch.randn(4, generator=two))
        True
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return [Generator().manual_seed(seed + number) for number in range(count)]
