"""Names and where what they name is found: a registry knows its names at once and imports an entry when it is asked for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from mri_ambient.errors import UserError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to objects, each in a file of its own.

    Adding one means writing its file and a line here. The command's choices and help come from the names, which cost no import.

    Args:
        what: what it is of, for messages.
        entries: name -> ``"package.module:OBJECT"``.

    Example:
        >>> codecs = Registry("codec", {"json": "json:dumps"})
        >>> list(codecs), codecs["json"]([1])
        (['json'], '[1]')
    """

    def __init__(self, what: str, entries: Mapping[str, str]):
        self._what = what
        self._entries: dict[str, str | T] = dict(entries)

    def __getitem__(self, name: str) -> T:
        """Raises UserError if there is none of that name."""
        if name not in self._entries:
            raise UserError(f"{self._what} {name}: is not known; choose one of {', '.join(self._entries)}")
        found = self._entries[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self._entries[name] = getattr(import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: str | T) -> None:
        """Of a program that brings its own: an object, or where it is found. Raises UserError if the name is taken."""
        if name in self._entries:
            raise UserError(f"{self._what} {name}: is there already; choose another name")
        self._entries[name] = entry
