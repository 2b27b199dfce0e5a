"""Whose images they are, as far as the user says: nothing of it is taken from a file."""

import re
from dataclasses import dataclass
from datetime import datetime

from mri_ambient.errors import UserError


@dataclass(frozen=True)
class Patient:
    """As DICOM writes it, empty where not given. name: Family^Given. birth_date: YYYYMMDD. sex: M, F or O.

    Raises UserError, with the option's name, if DICOM can't hold a value.
    """

    name: str = ""
    id: str = ""
    birth_date: str = ""
    sex: str = ""

    def __post_init__(self) -> None:
        for option, value in {"--patient-name": self.name, "--patient-id": self.id}.items():
            if re.search(r"[\x00-\x1f\x7f\\]", value) or len(value) > 64:
                raise UserError(
                    f"{option} {value[:70]!r}: DICOM holds at most 64 characters, no backslash and no control characters; "
                    "shorten or correct it"
                )
        if self.name.count("=") > 2 or any(part.count("^") > 4 for part in self.name.split("=")):
            raise UserError(f"--patient-name {self.name!r}: is not a DICOM name; write Family^Given")
        if self.sex not in ("", "M", "F", "O"):
            raise UserError(f"--patient-sex {self.sex}: is not one of M, F, O; choose one of them")

    @staticmethod
    def of(name: str, id: str, birth_date: str, sex: str) -> "Patient":
        """From options; the date may be written 1970-12-31 too. Raises UserError if it is none."""
        digits = birth_date.replace("-", "")
        if digits:
            try:
                if not re.fullmatch(r"[0-9]{8}", digits):
                    raise ValueError
                datetime.strptime(digits, "%Y%m%d")
            except ValueError as error:
                raise UserError(f"--patient-birth-date {birth_date}: is not a date; write it as 1970-12-31") from error
        return Patient(name, id, digits, sex.upper())
