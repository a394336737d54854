"""Command line flags of a model server: which the operator sets, which it refuses, and how a server reads them.

A table with all flags of a server is complete. The server then reads its command line as `getopt_long` does: a value
follows `=` or is the next argument, and a unique beginning of a name stands for the name. Any other argument ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

HTTP_PORT_VALUE = "PORT"
"""Stands for the HTTP port of the host among the values of a flag."""
_NO = {"false", "off", "0"}
_YES = {"true", "on", "1"}
_REFERENCE = re.compile(r"\$\$|\$\((?P<name>[^()$]+)\)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")

ValueKind = Literal["none", "boolean", "number", "word", "folder", "text"]


class Use(StrEnum):
    """Use of a flag in the arguments of a user."""

    OURS = "ours"
    """The operator sets it; a user may repeat its value."""
    REFUSED = "refused"
    BOUNDED = "bounded"
    """Free, except some values."""
    UNUSED = "unused"
    """Accepted without effect."""
    FREE = "free"


def _no_error(_value: str) -> str | None:
    return None


@dataclass(frozen=True)
class Flag:
    """A flag: its name without dashes, the form of its value, its use and the reason for it."""

    name: str
    value_kind: ValueKind
    use: Use = Use.FREE
    reason: str = ""
    values: tuple[str, ...] = ()
    """Of a flag of ours: the values that a user may repeat; the first is the operator's."""
    value_error: Callable[[str], str | None] = _no_error
    """Of a bounded flag: return the predicate of the error of a refused value, or None."""

    def repeats(self, value: str, http_port: int) -> bool:
        """Return whether the value is one of the operator's, in any spelling that the server reads."""
        ours = (str(http_port) if each == HTTP_PORT_VALUE else each for each in self.values)
        return self._spelled(value) in map(self._spelled, ours)

    def _spelled(self, value: str) -> str:
        if self.value_kind == "boolean":
            lower = value.lower()
            return "true" if lower in _YES else "false" if lower in _NO else value
        if self.value_kind == "number":
            return str(int(value)) if _NUMBER.fullmatch(value.strip()) else value
        if self.value_kind == "word":
            return value.lower()
        return value.rstrip("/") if self.value_kind == "folder" else value


@dataclass(frozen=True)
class FlagTable:
    """Flags of a server."""

    flags: tuple[Flag, ...] = ()
    program: str = ""
    """Name of the program, which users may write as the first argument; empty: none."""
    complete: bool = False
    """Whether the table has all flags of the server."""

    def named(self, name: str) -> list[Flag]:
        """Return the flag of this name; in a complete table, else those that begin so."""
        exact = [flag for flag in self.flags if flag.name == name]
        return exact or [flag for flag in self.flags if self.complete and flag.name.startswith(name)]

    def is_program(self, argument: str) -> bool:
        """Return whether an argument is the server's program, with or without its folder."""
        return bool(self.program) and argument.rpartition("/")[2] == self.program

    def without_program(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the arguments without a leading program, which the operator names itself."""
        return tuple(arguments[1:] if arguments and self.is_program(arguments[0]) else arguments)


def expanded(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the arguments as Kubernetes fills them in: `$(NAME)` is a known variable, `$$` a dollar sign."""
    return tuple(_REFERENCE.sub(lambda match: _value(match, variables), text) for text in arguments)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    return "$" if match[0] == "$$" else variables.get(match["name"], match[0])


class Argument(NamedTuple):
    """An argument as the server reads it: a known or an unknown flag with its value, or an error."""

    position: int
    text: str
    flag: Flag | None = None
    value: str = ""
    error: str = ""


def read_arguments(arguments: Sequence[str], table: FlagTable) -> Iterator[Argument]:
    """Read a command line. Arguments that are a variable without a known value are left out."""
    index = 0
    while index < len(arguments):
        argument = _read_one(index, arguments, table)
        index += 2 if argument.text != arguments[index] else 1
        if argument.error or argument.text.startswith("--"):
            yield argument


def _read_one(index: int, arguments: Sequence[str], table: FlagTable) -> Argument:
    text = arguments[index]
    if text == "--" or not text.startswith("--"):
        is_error = table.complete and not text.startswith("$(")
        return Argument(index, text, error=f"is no flag: {table.program} takes only flags" if is_error else "")
    name, separator, value = text[2:].partition("=")
    flags = table.named(name)
    if len(flags) > 1:
        names = ", ".join(f"--{flag.name}" for flag in flags[:3])
        return Argument(index, text, error=f"is the beginning of {len(flags)} flags: {names}")
    flag = flags[0] if flags else None
    if separator:
        error = "has no value" if flag is not None and flag.value_kind == "none" else ""
        return Argument(index, text, flag, value, error)
    return _with_next(index, arguments, flag, table)


def _with_next(index: int, arguments: Sequence[str], flag: Flag | None, table: FlagTable) -> Argument:
    """Return a flag with the next argument as its value, if it takes one."""
    text = arguments[index]
    following = arguments[index + 1] if index + 1 < len(arguments) else None
    if flag is None:
        takes_value = table.complete and following is not None and not following.startswith("-")
    else:
        takes_value = flag.value_kind != "none"
    if not takes_value:
        return Argument(index, text, flag)
    if following is None:
        return Argument(index, text, flag, error="lacks its value")
    return Argument(index, f"{text} {following}", flag, following)
