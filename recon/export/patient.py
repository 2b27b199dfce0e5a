"""Whose images they are, as far as the user says: nothing of it is taken from a file."""

import re
from dataclasses import dataclass
from datetime import datetime

from mri_ambient.errors import UserError

LONGEST = 64  # characters of a value of VR LO, and of each component group of one of VR PN (DICOM PS3.5, 6.2)
NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")  # the last: bytes of a terminal that are no UTF-8


@dataclass(frozen=True)
class Patient:
    """As DICOM writes it, empty where not given. name: Family^Given, in up to three groups (alphabetic=ideographic=phonetic)
    of five components. birth_date: YYYYMMDD. sex: M, F or O.

    Raises UserError, with the option's name, if DICOM can't hold a value.
    """

    name: str = ""
    id: str = ""
    birth_date: str = ""
    sex: str = ""

    def __post_init__(self) -> None:
        for option, value in {"--patient-name": self.name, "--patient-id": self.id}.items():
            if NOT_TEXT.search(value):
                raise UserError(
                    f"{option} {value[:70]!r}: DICOM holds no backslash, no control characters, and nothing that is not "
                    "Unicode; correct it"
                )
        groups = self.name.split("=")
        if len(groups) > 3 or any(group.count("^") > 4 for group in groups):
            raise UserError(f"--patient-name {self.name!r}: is not a DICOM name; write Family^Given")
        if max(map(len, groups)) > LONGEST:
            raise UserError(
                f"--patient-name {self.name!r}: DICOM holds at most {LONGEST} characters in each of a name's groups (which = "
                "separates); shorten it"
            )
        if len(self.id) > LONGEST:
            raise UserError(f"--patient-id {self.id[:70]!r}: DICOM holds at most {LONGEST} characters; shorten it")
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
