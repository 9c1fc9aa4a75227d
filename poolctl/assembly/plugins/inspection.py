"""What a plugin is, found out in a process of its own: what it raises, prints or changes there ends with it.

here                            there
reference, options  -- fork --> load the class, judge the options, make an instance
Description         <-- JSON -- its docstring, its options' schema, the facts that rules ask for, what is wrong
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any

from poolctl.assembly.plugins.reference import Reference
from poolctl.assembly.sandbox.child import Told, Words, apart

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PATIENCE = 10.0  # seconds that the import of a plugin may take
ONLY = "let the module only define the class"
LONGEST = 20_000  # characters of a traceback, and of a docstring


@dataclass(frozen=True)
class Description:
    """What a plugin says of itself.

    ``about``     its docstring
    ``options``   JSON Schema of each option by name, with its description and default
    ``required``  those of them that have no default
    ``facts``     what rules and commands ask of the axis' parts, by the names of their attributes
    ``values``    of each option: as given, or the default
    ``errors``    of pydantic about the options that were given
    ``refused``   what its constructor said of them, and the help
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
        """The first paragraph of the docstring, in one line."""
        return " ".join(self.about.split("\n\n")[0].split())


class ConstructorFailed(Exception):
    """The constructor raised; why is its cause."""


@dataclass(frozen=True)
class Unusable:
    """Why a class is no plugin. ``detail``: the traceback of its own code, and what it printed."""

    message: str
    help: str = ""
    detail: str = ""


def described(reference: Reference, options: Mapping[str, Any] | None = None) -> Description | Unusable:
    """What the plugin is with these options; None: nobody has given any, so none is judged."""
    told = apart(lambda: _look(reference, options), PATIENCE)
    if not told.words:
        return _without_a_word(reference, told)
    kind, *rest = told.words
    if kind == "described":
        return _read(json.loads(rest[0]))
    message, help_, detail = [*rest, "", ""][:3]
    if told.printed:
        detail = f"{detail}\n\nit printed:\n{told.printed}".strip()
    return Unusable(message, help_, detail)


def _without_a_word(reference: Reference, told: Told) -> Unusable:
    if told.words is None:
        return Unusable(f"{reference.text} is still being imported after {PATIENCE:g} s", ONLY)
    how = f"was ended by signal {-told.ended}" if told.ended < 0 else f"left with exit code {told.ended}"
    return Unusable(f"the process that imported {reference.text} {how}", ONLY, told.printed)


# In the other process


def _look(reference: Reference, options: Mapping[str, Any] | None) -> Words:
    """described with JSON; or unusable with a message, a help and a traceback."""
    from poolctl.assembly.plugins.load import PluginError, load
    from poolctl.assembly.sandbox.descendants import die_with_parent

    die_with_parent()
    try:
        part = load(reference)
        return "described", json.dumps(_described(reference.axis, part, options))
    except PluginError as error:
        return "unusable", error.message, error.help
    except SystemExit as error:
        return "unusable", f"{reference.text} ends the process that imports it: {error.code}", ONLY
    except BaseException as error:  # noqa: BLE001  # whatever the plugin's code raises is shown to the user
        from poolctl.supervision.user_traceback import summary_line, user_traceback

        what = "imported"
        if isinstance(error, ConstructorFailed) and error.__cause__:
            what, error = "made", error.__cause__
        return (
            "unusable",
            f"{reference.text} cannot be {what}: {summary_line(error)}",
            _fix(error, what),
            _end(user_traceback(error)),
        )


def _fix(error: BaseException, what: str) -> str:
    if what == "made" and isinstance(error, TypeError) and "argument" in str(error):
        return "options are the annotated fields of a dataclass, and its constructor is called with nothing else"
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return f'install the package that has the module "{module}" for {sys.executable}, which runs poolctl'
    return "fix it in the plugin's own code"


def _end(text: str) -> str:
    return text if len(text) <= LONGEST else f"...\n{text[-LONGEST:]}"


def _described(axis: str, part: type[Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    from pydantic import ValidationError

    from poolctl.assembly.options import error_text, option_fields, values_of
    from poolctl.assembly.options_schema import options_schema, required_options

    own = "" if _written_by_dataclass(part) else inspect.cleandoc(part.__doc__ or "")  # not what it inherits
    found: dict[str, Any] = {
        "about": own[:LONGEST],
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


def _written_by_dataclass(part: type[Any]) -> bool:
    """A dataclass without a docstring gets its signature as one."""
    return is_dataclass(part) and str(part.__doc__).startswith(f"{part.__name__}(")


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=lambda other: list(other) if isinstance(other, set) else str(other)))


def _portable(error: Any) -> dict[str, Any]:
    """Pydantic's word about one value, without objects: an exception becomes its text and help."""
    context = dict(error.get("ctx", {}))
    if isinstance(context.get("error"), Exception):
        context["error"] = {"said": str(context["error"]), "help": getattr(context["error"], "help", "")}
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


# Here again


def _read(told: dict[str, Any]) -> Description:
    errors = [_restored(each) for each in told.get("errors", ())]
    refused = told.get("refused")
    return Description(
        told["about"],
        told["options"],
        tuple(told["required"]),
        told["facts"],
        told.get("values", {}),
        tuple(errors),
        (refused[0], refused[1]) if refused else None,
    )


def _restored(error: dict[str, Any]) -> Any:
    from poolctl.config.invalid_value import InvalidValue

    context = error["ctx"]
    if isinstance(context.get("error"), dict):
        context["error"] = InvalidValue(context["error"]["said"], context["error"]["help"])
    return {**error, "loc": tuple(error["loc"])}
