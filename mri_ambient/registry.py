"""Names and where what they name is found: a registry knows its names at once and imports an entry when it is asked for."""

import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Generic, TypeVar

from mri_ambient.errors import UserError

T = TypeVar("T")
PLAIN = re.compile(r"\w[\w.-]*")


class UnknownName(UserError, KeyError):
    """There is nothing of that name; a KeyError too, as of every mapping."""

    __str__ = UserError.__str__


class Registry(MutableMapping[str, T], Generic[T]):
    """A mapping from names to objects, each in a file of its own.

    Adding one means writing its file and a line here. The command's choices and help come from the names, which cost no import.

    Args:
        what: what it is of, for messages.
        entries: name -> ``"package.module:OBJECT"``.
        reserved: names that mean something else where these are written.

    Example:
        >>> codecs = Registry("codec", {"json": "json:dumps"})
        >>> list(codecs), codecs["json"]([1])
        (['json'], '[1]')
    """

    def __init__(self, what: str, entries: Mapping[str, str], reserved: Collection[str] = ()):
        self._what = what
        self._reserved = reserved
        self._places = dict(entries)
        self._found: dict[str, T] = {}
        self._imported: dict[str, T] = {}  # what a place holds, whatever a program has put there since

    def __getitem__(self, name: str) -> T:
        """Raises UnknownName, a UserError, if there is none of that name."""
        if name not in self._places:
            raise UnknownName(f"{self._what} {name}: is not known; choose one of {', '.join(self)}")
        if name not in self._found:
            module, _, attribute = self._places[name].partition(":")
            self._found[name] = self._imported[name] = getattr(import_module(module), attribute)
        return self._found[name]

    def __setitem__(self, name: str, entry: T) -> None:
        """Of a program that brings its own; replaces what has the name. Raises UserError if files and columns can't bear it."""
        if not PLAIN.fullmatch(name) or name in self._reserved:
            raise UserError(f"{self._what} {name!r}: can't be called that; take letters, digits, `-`, `_`, `.`")
        self._places.setdefault(name, "")
        self._found[name] = entry

    def is_own(self, name: str) -> bool:
        """Whether a program brought it, so that this package's version says nothing of what it does."""
        return name in self._found and self._found[name] is not self._imported.get(name)

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._found.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
