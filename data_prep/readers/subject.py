"""Whose scan it is: one pseudonym for all the ways in which files write one patient's number."""

import hashlib
import re
import unicodedata

import numpy as np

NOBODY = re.compile(
    r"(unknown|anon(ymou?s|ymi[sz]ed)?|deidentified|de-identified|redacted|removed|none|null|nil|n/?a|nan|not available|"
    r"not specified|unspecified|undefined|no ?name|no ?id|x+)([ _-]?(patient|subject|id))?"
)


def pseudonym(patient: object) -> str | None:
    """A hash of a patient's number, which only tells scans of one subject; None if there is no number, or it is nobody's.

    ``patient`` is what a file may hold: text, bytes, a number, or an array of one of them or of characters, padded or not. What
    differs in case, blanks or leading zeros counts as one person: two people taken for one stay together in a split, which
    is harmless; one taken for two would be trained on and held out.
    """
    text = " ".join(unicodedata.normalize("NFKC", _text(patient)).casefold().split())
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)  # a number stored as floating point
    if not any(character.isalnum() for character in text) or NOBODY.fullmatch(text):
        return None
    text = text.lstrip("0") or "0" if text.isdigit() else text
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _text(value: object) -> str:
    """Empty for what is no text, number or array of such."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value.replace("\0", " ")
    if isinstance(value, int | float | np.number):
        return str(value)
    if not isinstance(value, np.ndarray):
        return ""
    parts = value.ravel().tolist()
    if len(parts) > 1 and value.dtype.kind in "iu":  # characters by their codes, as MATLAB stores text
        return "".join(chr(code) for code in parts if 0 < code < 0x110000)
    return "".join(_text(part) for part in parts)
