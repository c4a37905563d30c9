"""Names of components, and how a section of configuration becomes one of them.

A config names a component (`type: upright`) and gives the values of its fields. Only what is
registered can be named, so a config that came from somewhere else cannot choose code to run.

Standard library only: `ksim list` and a mistyped key must not pay for JAX.
"""

import dataclasses
import importlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar, Union, cast

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.option import refusal
from ksim_cli.own_code import place_of
from ksim_cli.synonyms import suggestion

T = TypeVar("T")
Class = TypeVar("Class", bound=type)

KINDS: dict[str, "Registry[Any]"] = {}
"""Section of the configuration or name of a part of terms -> the types that may stand there."""


class Registry(Generic[T]):
    """The components of one kind: name -> class.

    Args:
        kind: what one entry is called in messages, e.g. `reward`.
        section: where `ksim list` shows its types, e.g. `rewards`; empty: nowhere.
    """

    def __init__(self, kind: str, section: str = "") -> None:
        self.kind = kind
        if section:
            KINDS[section] = self
        self._entries: dict[str, type[T] | str] = {}  # a module that registers it, or the class

    def register(self, name: str) -> Callable[[Class], Class]:
        """Class decorator that registers a class under `name`.

        Raises:
            UserError: another class has that name already.
        """

        def decorate(cls: Class) -> Class:
            other = self._entries.get(name)
            if isinstance(other, type) and _origin(other) != _origin(cls):
                raise UserError(
                    f"{self.kind} '{name}' is registered twice: by {'.'.join(_origin(other))} and"
                    f" by {'.'.join(_origin(cls))}{place_of(cls)}. Give one another name"
                )
            self._entries[name] = cast("type[T]", cls)
            return cls

        return decorate

    def register_module(self, name: str, module: str) -> None:
        """Registers a module that registers `name` once it is imported, which `get` does."""
        self._entries.setdefault(name, module)

    def get(self, name: Any, where: str) -> type[T]:
        """The class registered under `name`.

        Args:
            name: the registered name; what a config gave, so perhaps no string at all.
            where: path of the config key that named it, for the message.

        Raises:
            UserError: nothing is registered under that name.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise UserError(
                f"{where}: no {self.kind} '{name}'."
                f"{suggestion(self.kind, str(name), self._entries)}"
                f"\n  available: {listing(self._entries)}"
            )
        entry = self._entries[name]
        if isinstance(entry, str):
            importlib.import_module(entry)
            entry = self._entries[name]
            assert not isinstance(entry, str)  # the module registers it
        return entry

    def find_name(self, cls: type) -> str | None:
        """The name a class is registered under; None where it is not."""
        return next((name for name, each in self._entries.items() if each is cls), None)

    def name_of(self, cls: type) -> str:
        """The name a class is registered under, else the name of the class."""
        return self.find_name(cls) or cls.__name__

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._entries)

    def build(self, section: Any, where: str) -> T:
        """Makes the component that a config section describes.

        Args:
            section: `type` (the registered name) and values of the class's fields.
            where: path of the section, for messages.

        Raises:
            UserError: unknown type, unknown field, missing field, or a value of the wrong type.
        """
        if not isinstance(section, Mapping) or "type" not in section:
            got = f"keys {listing(section)}" if isinstance(section, Mapping) else repr(section)
            raise UserError(
                f"{where}: a {self.kind} needs 'type', got {got}."
                f"\n  Set {where}.type to one of: {listing(self._entries)}"
            )
        cls = self.get(section["type"], f"{where}.type")
        values = {key: value for key, value in section.items() if key != "type"}
        return make(cls, values, where)


def make(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Makes dataclass `cls` from config values, with names, types and limits checked.

    Args:
        cls: the class; a dataclass among its fields is made from a section of its own.
        values: name of a field -> value.
        where: path of the section, for messages; empty: the run's own keys.

    Raises:
        UserError: unknown field, missing field, or a value that is of the wrong type or outside
            its limits; also what the class's own `__post_init__` refuses with a ValueError.
    """
    settable = settable_fields(cls)
    for name in values:
        if name not in settable:
            raise UserError(
                f"{where}: no parameter '{name}'.{nearest(str(name), settable)}"
                f"\n  parameters: {parameters(cls)}"
            )
    missing = [name for name, f in settable.items() if _required(f) and name not in values]
    if missing:
        raise UserError(f"{where}: needs {', '.join(missing)}. Set {where}.{missing[0]}=...")
    hints, prefix = typing.get_type_hints(cls), where and f"{where}."
    checked: dict[str, Any] = {}
    refused: list[str] = []
    for name, value in values.items():
        try:
            checked[name] = convert(value, hints[name], f"{prefix}{name}")
        except UserError as error:
            refused.append(str(error))
            continue
        if (why := refusal(settable[name], checked[name])) is not None:
            refused.append(f"{prefix}{name}={value_text(checked[name])}: {why}")
    if refused:
        raise UserError("\n  ".join(refused))
    try:
        return cls(**checked)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def settable_fields(cls: type) -> dict[str, "dataclasses.Field[Any]"]:
    """The fields of a component that its YAML may give: all but those `bind` resolves."""
    return {
        f.name: f
        for f in dataclasses.fields(cls)
        if f.init and not f.metadata.get("resolved", False)
    }


def parameters(cls: type) -> str:
    """The parameters of a component, with types and defaults: `weight: float = 1.0, ...`."""
    shown = [_signature(f) for f in settable_fields(cls).values() if f.name != "type"]
    return ", ".join(shown) or "(none)"


def convert(value: Any, hint: Any, where: str) -> Any:
    """Checks `value` against a type hint; an int becomes a float and a list a tuple where asked.

    Raises:
        UserError: the value is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if (kind := component_kind(hint)) is not None and not isinstance(value, hint):
        return kind.build({"type": value} if isinstance(value, str) else value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return make(hint, value, where)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, where)
    if origin is Literal:
        if value not in arguments:
            names = [str(a) for a in arguments]
            raise UserError(
                f"{where}={value}: is not one of {', '.join(names)}.{nearest(str(value), names)}"
            )
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments, where)
    if origin is list:
        return list(_convert_tuple(value, (*arguments, Ellipsis), where))
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(value, "a mapping", where)
        item = arguments[1] if arguments else Any
        return {str(k): convert(v, item, f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    is_bool_for_int = isinstance(value, bool) and hint is int
    if isinstance(hint, type) and isinstance(value, hint) and not is_bool_for_int:
        return value
    raise _wrong(value, _name(hint), where)


def component_kind(hint: Any) -> "Registry[Any] | None":
    """The registry of a base class whose components may stand inside another one's section.

    Such a class names it as `registry`: a field `noise: Noise` takes a section `{type: ...}`, or
    the bare name of a type that needs no parameters.
    """
    kind = getattr(hint, "registry", None)
    return kind if isinstance(kind, Registry) else None


def _convert_union(value: Any, arguments: tuple[Any, ...], where: str) -> Any:
    inside: UserError | None = None
    some = [argument for argument in arguments if argument is not type(None)]
    for argument in arguments:
        try:
            return convert(value, argument, where)
        except UserError as error:
            is_list = typing.get_origin(argument) in (list, tuple)
            if _same_shape(value, argument) or (some == [argument] and is_list):
                inside = error  # says which element is wrong
    raise inside or _wrong(value, " or ".join(_name(a) for a in arguments), where)


def _same_shape(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if isinstance(value, Mapping):
        return origin in (dict, Mapping) or component_kind(hint) is not None
    if isinstance(value, str):
        return component_kind(hint) is not None
    return isinstance(value, list | tuple) and origin in (list, tuple) and len(value) > 0


def _convert_tuple(value: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(value, f"a list, as in {where}=[{value_text(value)}]", where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(convert(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(value))
    if len(arguments) != len(value):
        raise _wrong(value, f"a list of {len(arguments)} values", where)
    return tuple(
        convert(v, a, f"{where}[{i}]")
        for i, (v, a) in enumerate(zip(value, arguments, strict=True))
    )


def _wrong(value: Any, wanted: str, where: str) -> UserError:
    got = "null" if value is None else type(value).__name__
    return UserError(f"{where}={value_text(value)}: expected {wanted}, got {got}")


def value_text(value: Any) -> str:
    """A value as it is typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(each) for each in value)}]"
    return str(value)


def _name(hint: Any) -> str:
    """What is typed for a type: `float | null`, `[float, float]`, `[str, …]`, `{str: float}`."""
    if hint is type(None):
        return "null"
    if hint is Ellipsis:
        return "…"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(value_text(argument) for argument in arguments)
    names = [_name(argument) for argument in arguments]
    if origin in (Union, types.UnionType):
        return " | ".join(names)
    if origin in (list, tuple):
        return f"[{', '.join(names)}]"
    if origin is dict:
        return f"{{{': '.join(names)}}}"
    return getattr(hint, "__name__", str(hint))


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default_text(field: "dataclasses.Field[Any]") -> str:
    """The default of a field that has one, as it is typed."""
    made = field.default_factory
    return value_text(field.default if made is dataclasses.MISSING else made()) or '""'


def _signature(field: "dataclasses.Field[Any]") -> str:
    kind = field.type if isinstance(field.type, str) else _name(field.type)
    return f"{field.name}: {kind}{'' if _required(field) else f' = {default_text(field)}'}"


def _origin(cls: type) -> tuple[str, str]:
    # A user's task may be imported again under the same module name (a sweep in one process):
    # that is the same class, not a second one.
    return cls.__module__, cls.__qualname__


TASKS: Registry[Any] = Registry("task")
OBSERVATIONS: Registry[Any] = Registry("observation", "observations")
REWARDS: Registry[Any] = Registry("reward", "rewards")
TERMINATIONS: Registry[Any] = Registry("termination", "terminations")
RESETS: Registry[Any] = Registry("reset", "resets")
NOISES: Registry[Any] = Registry("noise", "noise")
SCALES: Registry[Any] = Registry("scale", "scales")
FILTERS: Registry[Any] = Registry("action filter", "filters")
COMMANDS: Registry[Any] = Registry("command", "commands")
EVENTS: Registry[Any] = Registry("event", "events")
RANDOMIZERS: Registry[Any] = Registry("randomizer", "randomization")
CURRICULA: Registry[Any] = Registry("curriculum", "curriculum")
ACTUATORS: Registry[Any] = Registry("actuator", "actuators")
MODELS: Registry[Any] = Registry("model", "model")
OPTIMIZERS: Registry[Any] = Registry("optimizer", "optimizer")
ALGORITHMS: Registry[Any] = Registry("algorithm", "algo")
ENGINES: Registry[Any] = Registry("engine")
