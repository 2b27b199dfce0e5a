"""Seeds that are the same in every process and on every machine."""

import hashlib


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
