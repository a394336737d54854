"""Rules for the arguments and the command of a server, by the table of its flags.

The arguments of a container are those of the operator, and then those of the user. A shell in `command` takes the first
argument as its script, so the script must be in `command` too, and pass the arguments on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import ContainerFields
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.paths import server_path
from manyserve.plan.servers.flags import HTTP_PORT_VALUE, Argument, Flag, Use, expanded, read_arguments
from manyserve.plan.servers.ports import http_port
from manyserve.plan.servers.registry import server_kind

Rule = Callable[[InferenceService], Iterator[FieldError]]

LEFT_OUT = "it must be left out"
_SHELLS = ("sh", "ash", "bash", "dash", "ksh", "zsh")
_SCRIPT_OPTION = re.compile(r"-[a-z]*c")
_PASSED_ON = ("$@", "$*", "${@}")


def arguments_are_allowed(host: InferenceService) -> Iterator[FieldError]:
    """Refuse arguments that contradict those of the operator, that it cannot allow, or that are no flags."""
    unread = [(path, argument) for path, argument in _arguments(host) if argument.error]
    for path, argument in unread[:1]:  # the server would end at the first one
        yield FieldError(path, f"{quoted(argument.text)} {argument.error}; {LEFT_OUT}")
    for path, argument in _arguments(host):
        error = _flag_error(host, argument.flag, argument.value) if argument.flag and not argument.error else None
        if error:
            yield FieldError(path, f"{quoted(argument.text)} {error}; {LEFT_OUT}")


def shell_passes_arguments_on(host: InferenceService) -> Iterator[FieldError]:
    """Require of a shell in `command` a script that starts the server with the arguments."""
    kind, command = server_kind(host.spec.predictor), host.spec.predictor.server.command or ()
    if kind.flags.flags and not _gets_arguments(command):
        server = kind.flags.program or "SERVER"
        form = f"[sh, -c, '...; exec {server} \"$@\"', {server}]"
        yield FieldError(
            f"{server_path(host)}.command",
            f"a shell does not pass the operator's arguments on to the server so; it must have the form {form}",
        )


def unused_arguments(host: InferenceService) -> Iterator[str]:
    """Yield a sentence for each argument that has no effect, or that manyserve does not know."""
    program = server_kind(host.spec.predictor).flags.program
    for path, argument in _arguments(host):
        if argument.error:
            continue
        if argument.flag is None:
            name = quoted(argument.text.partition("=")[0])
            yield f"{path}: {name} is not a flag that manyserve knows; {program} ends if it does not know it either"
        elif argument.flag.use is Use.UNUSED:
            yield f"{path}: --{argument.flag.name} has no effect: {argument.flag.reason}"


def _arguments(host: InferenceService) -> Iterator[tuple[str, Argument]]:
    """Yield path and content of each argument of the server, also of those in `command`.

    If another program reads the arguments first, only the flags of the table are known. A shell without a script reads
    no flags.
    """
    table, server = server_kind(host.spec.predictor).flags, host.spec.predictor.server
    variables = _variables(server)
    command, args = expanded(server.command or (), variables), expanded(server.args or (), variables)
    if not table.flags or not _gets_arguments(command):
        return
    rest = table.without_program(args)
    named = next((index + 1 for index, word in enumerate(command) if table.is_program(word)), len(command))
    is_named = len(rest) < len(args) or any(map(table.is_program, command))
    table = replace(table, complete=table.complete and (is_named or not command))
    for name, start, texts in (("command", named, command[named:]), ("args", len(args) - len(rest), rest)):
        for argument in read_arguments(texts, table):
            if argument.flag is not None or table.complete:
                yield f"{server_path(host)}.{name}[{start + argument.position}]", argument


def _variables(server: ContainerFields) -> dict[str, str]:
    """Return the variables with a value in the spec. A value may refer to those before it."""
    variables: dict[str, str] = {}
    for variable in server.env or ():
        if variable.value_from is None:
            (variables[variable.name],) = expanded((variable.value or "",), variables)
    return variables


def _flag_error(host: InferenceService, flag: Flag, value: str) -> str | None:
    if flag.use is Use.REFUSED:
        return f"is not allowed: {flag.reason}"
    if flag.use is Use.BOUNDED:
        return flag.value_error(value)
    if flag.use is not Use.OURS or flag.repeats(value, http_port(host)):
        return None
    ours = flag.values[0]
    if ours == HTTP_PORT_VALUE:
        ours = f"{http_port(host)}, which follows {server_path(host)}.ports"
    return f"undoes the operator's --{flag.name}={ours}: {flag.reason}"


def _gets_arguments(command: Sequence[str]) -> bool:
    """Return whether the arguments of the container reach the program that a command starts."""
    words = iter(command)
    if not any(word.rpartition("/")[2] in _SHELLS for word in words):
        return True
    if not any(_SCRIPT_OPTION.fullmatch(word) for word in words):  # a script in a file
        return True
    script, name = next(words, ""), next(words, "")
    return bool(name) and any(each in script for each in _PASSED_ON)


RULES: tuple[Rule, ...] = (arguments_are_allowed, shell_passes_arguments_on)
