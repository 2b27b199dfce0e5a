"""One thing or several, as users write them: read by the command and by Python alike; nothing heavy is imported."""

from collections.abc import Sequence

from mri_ambient.errors import UserError


def as_names(given: str | Sequence[str]) -> list[str]:
    """One name, several separated by commas, or a sequence of names."""
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)


def as_accels(given: float | str | Sequence[float]) -> tuple[float, ...]:
    """One or several; ``"2,4"`` as on the command line."""
    several = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else [given]
    try:
        accels = tuple(float(one) for one in several)
    except (TypeError, ValueError) as error:
        raise UserError(f"accel (--accel) {given}: is not a number or several; write 4 or '2,4,6,8'") from error
    if not accels or not all(1 <= accel < float("inf") for accel in accels):
        raise UserError(f"accel (--accel) {given}: an acceleration is at least 1")
    return accels
