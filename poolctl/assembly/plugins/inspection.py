"""Inspects a plugin in a child process, so that its exceptions, output and side effects do not reach this process.

this process                    the child
reference, options  -- fork --> loads the class, validates the options, creates an instance
Description         <-- JSON -- its docstring, its options' schema, the facts that the rules need, the errors
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any

from poolctl.assembly.plugins.reference import Reference
from poolctl.assembly.sandbox.child import Report, Result, run_in_child

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

TIMEOUT = 10.0  # seconds for the import of a plugin
ONLY = "let the module do nothing but define the class"
MAX_TEXT = 20_000  # characters of a traceback or a docstring


@dataclass(frozen=True)
class Description:
    """The description of a plugin.

    ``about``     its docstring
    ``options``   the JSON Schema of each option by name, with its description and default
    ``required``  the options without a default
    ``facts``     the attributes that rules and commands need, by name
    ``values``    the value of each option: as given, or the default
    ``errors``    pydantic's errors about the options that were given
    ``refused``   the message of its constructor about them, and the help
    """

    about: str = ""
    options: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[ErrorDetails, ...] = ()
    refused: tuple[str, str] | None = None

    @property
    def sentence(self) -> str:
        """The first paragraph of the docstring on one line."""
        return " ".join(self.about.split("\n\n")[0].split())


class ConstructorFailed(Exception):
    """Raised when the constructor of a plugin raised; the cause is its exception."""


@dataclass(frozen=True)
class Unusable:
    """Why a class cannot be used as a plugin. ``detail`` is the traceback of its own code, and what it printed."""

    message: str
    help: str = ""
    detail: str = ""


def inspect_plugin(reference: Reference, options: Mapping[str, Any] | None = None) -> Description | Unusable:
    """The description of a plugin with these options, or why it cannot be used. None: options are not validated."""
    result = run_in_child(lambda: _inspect(reference, options), TIMEOUT)
    if not result.report:
        return _without_report(reference, result)
    kind, *rest = result.report
    if kind == "described":
        return _read(json.loads(rest[0]))
    message, help_, detail = [*rest, "", ""][:3]
    if result.output:
        detail = f"{detail}\n\nit printed:\n{result.output}".strip()
    return Unusable(message, help_, detail)


def _without_report(reference: Reference, result: Result) -> Unusable:
    if result.report is None:
        return Unusable(f"{reference.text} is still being imported after {TIMEOUT:g} s", ONLY)
    code = result.exit_code
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return Unusable(f"the process that imported {reference.text} {how}", ONLY, result.output)


# In the child


def _inspect(reference: Reference, options: Mapping[str, Any] | None) -> Report:
    """The report: "described" with JSON, or "unusable" with a message, a help and a traceback."""
    from poolctl.assembly.plugins.load import PluginError, load
    from poolctl.runtime.system.prctl import die_with_parent

    die_with_parent()
    try:
        part = load(reference)
        return "described", json.dumps(_describe(reference.axis, part, options))
    except PluginError as error:
        return "unusable", error.message, error.help
    except SystemExit as error:
        return "unusable", f"{reference.text} exits the process that imports it: {error.code}", ONLY
    except BaseException as error:  # noqa: BLE001  # whatever the plugin's code raises is reported to the user
        from poolctl.supervision.user_traceback import summary_line, user_traceback

        what = "imported"
        if isinstance(error, ConstructorFailed) and error.__cause__:
            what, error = "instantiated", error.__cause__
        return (
            "unusable",
            f"{reference.text} cannot be {what}: {summary_line(error)}",
            _fix(error, what),
            _end(user_traceback(error)),
        )


def _fix(error: BaseException, what: str) -> str:
    if what == "instantiated" and isinstance(error, TypeError) and "argument" in str(error):
        return "declare options as annotated fields of a dataclass: its constructor gets no other arguments"
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return f'install the package that has the module "{module}" for {sys.executable}, which runs poolctl'
    return "fix it in the plugin's own code"


def _end(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"...\n{text[-MAX_TEXT:]}"


def _describe(axis: str, part: type[Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    from pydantic import ValidationError

    from poolctl.assembly.options import error_text, option_fields, values_of
    from poolctl.assembly.options_schema import options_schema, required_options

    own = "" if _generated_docstring(part) else inspect.cleandoc(part.__doc__ or "")  # not an inherited one
    found: dict[str, Any] = {
        "about": own[:MAX_TEXT],
        "options": options_schema(part),
        "required": required_options(part),
        "facts": _facts(axis, part, part),
    }
    if options is None:
        return found
    try:
        values = values_of(part, options)
    except ValidationError as error:
        return found | {"errors": [_portable(each) for each in error.errors(include_url=False)]}
    try:
        made = part(**values)
    except ValueError as error:  # of a __post_init__
        return found | {"refused": [error_text(error), getattr(error, "help", "")]}
    except Exception as error:
        raise ConstructorFailed from error
    values = {each.name: getattr(made, each.name, None) for each in option_fields(part)}
    return found | {
        "facts": _facts(axis, part, made),
        "values": {name: _plain(value) for name, value in values.items()},
    }


def _generated_docstring(part: type[Any]) -> bool:
    """Whether the docstring is the signature, which a dataclass without a docstring gets."""
    return is_dataclass(part) and str(part.__doc__).startswith(f"{part.__name__}(")


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    return json.loads(json.dumps(value, default=lambda other: list(other) if isinstance(other, set) else str(other)))


def _portable(error: Any) -> dict[str, Any]:
    """An error of pydantic without objects: an exception becomes its message and help."""
    context = dict(error.get("ctx", {}))
    if isinstance(context.get("error"), Exception):
        context["error"] = {"message": str(context["error"]), "help": getattr(context["error"], "help", "")}
    return _plain({**error, "ctx": context})  # type: ignore[no-any-return]  # it is a mapping


FACTS = {
    "dispatch": ("like", "pull"),
    "app": ("protocol", "asynchronous", "owns_connection", "lendable"),
    "protocol": ("name", "marks_requests"),
    "pool": ("like",),
    "ownership": ("like",),
}
OF_INSTANCES = {"dispatch": ("inspects",), "protocol": ("alpn",), "pool": ("multithread", "multiprocess")}


def _facts(axis: str, part: type[Any], made: Any) -> dict[str, Any]:
    names = FACTS[axis] + (OF_INSTANCES.get(axis, ()) if made is not part else ())
    found = {name: _plain(getattr(made, name, None)) for name in names}
    if axis == "dispatch":
        from poolctl.runtime.dispatch import HOOKS, Dispatch

        found["hooks"] = [name for name in HOOKS if getattr(part, name) is not getattr(Dispatch, name)]
    return found


# In this process


def _read(report: dict[str, Any]) -> Description:
    errors = [_restored(each) for each in report.get("errors", ())]
    refused = report.get("refused")
    return Description(
        report["about"],
        report["options"],
        tuple(report["required"]),
        report["facts"],
        report.get("values", {}),
        tuple(errors),
        (refused[0], refused[1]) if refused else None,
    )


def _restored(error: dict[str, Any]) -> Any:
    from poolctl.config.invalid_value import InvalidValue

    context = error["ctx"]
    if isinstance(context.get("error"), dict):
        context["error"] = InvalidValue(context["error"]["message"], context["error"]["help"])
    return {**error, "loc": tuple(error["loc"])}
