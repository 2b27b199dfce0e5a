"""What a raw format is to the readers: how it is known, and how it becomes a Scan."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mri_ambient.data_prep.scan import Scan


@dataclass(frozen=True)
class Format:
    """One raw format. Adding one means writing its file and a line in :mod:`.registry`.

    Attributes:
        sniff: whether a file is of this format, told from its content, never from its name.
        read: the Scan in it; raises UserError in one sentence, and OSError where the file is damaged.
        suffixes: a file so named claims to be a scan, whatever is in it.
        main_file: the file that stands for a scan of several, of whichever name it was given; a path that is none as it is.
        files: all files that make up a scan, the main one first.

    Example:
        >>> from mri_ambient.data_prep.readers.registry import FORMATS
        >>> FORMATS["BART ra"].suffixes
        ('.ra',)
    """

    sniff: Callable[[Path], bool]
    read: Callable[[Path], Scan]
    suffixes: tuple[str, ...] = ()
    main_file: Callable[[Path], Path] = lambda path: path
    files: Callable[[Path], list[Path]] = lambda path: [path]


def starts_with(magic: bytes) -> Callable[[Path], bool]:
    """A ``sniff`` that knows files by their first bytes."""

    def sniff(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic

    return sniff
