"""From type hints to shapes."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NewType, TypeVar

from headway.parameters.foreign import Foreign, is_foreign
from headway.parameters.secret_names import SecretName
from headway.parameters.shapes import (
    SCALARS,
    Anything,
    Choice,
    Either,
    Field,
    Fixed,
    Keyed,
    Listed,
    Record,
    Shape,
)
from headway.secrets import Secret

_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def type_hints(owner: Any) -> dict[str, Any]:
    """Hints by name. One that cannot be evaluated (its import is for type checkers only) counts as no hint."""
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception:  # noqa: BLE001 - a hint is an expression of the user's and may raise anything
        return _hints_one_by_one(owner)


def _hints_one_by_one(owner: Any) -> dict[str, Any]:
    found = {}
    for name, hint in getattr(owner, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        scope = getattr(owner, "__globals__", None) or vars(sys.modules[owner.__module__])
        try:
            found.update(typing.get_type_hints(holder, globalns=scope, include_extras=True))
        except Exception:  # noqa: BLE001 - as above, now for this hint alone
            found[name] = Any
    return found


class ShapeBuilder:
    """Builds shapes; each named type once, so that types may contain themselves."""

    def __init__(self) -> None:
        self._records: dict[type, Record] = {}

    def shape(self, hint: Any) -> Shape:
        """The shape of a hint; Anything for what JSON cannot check."""
        if is_foreign(hint):
            return Foreign(hint)
        hint = _unwrapped(hint)
        if is_foreign(hint):
            return Foreign(hint)
        if hint is Secret:
            return SecretName()
        try:
            if hint in SCALARS:
                return SCALARS[hint]
        except TypeError:  # an unhashable hint, such as Literal[[]]
            return Anything()
        origin = typing.get_origin(hint) or hint
        args = typing.get_args(hint)
        return self._generic(origin, args) or self._class(hint) or Anything()

    def _generic(self, origin: Any, args: tuple[Any, ...]) -> Shape | None:
        if origin is typing.Union or origin is types.UnionType:
            return Either([self.shape(option) for option in args])
        if origin is typing.Literal:
            return self._literal(args)
        if origin is tuple:
            return self._tuple(args)
        if origin in _LISTS:
            return Listed(self._first(args), list, unique=False)
        if origin in _SETS or origin is frozenset:
            return Listed(self._first(args), frozenset if origin is frozenset else set, unique=True)
        if origin in _DICTS:
            key, value = args or (Any, Any)
            return Keyed(self.shape(key), self.shape(value), numeric=_unwrapped(key) is int)
        return None

    def _literal(self, args: tuple[Any, ...]) -> Shape:
        if not all(
            arg is None or type(arg) in (str, int, bool) or isinstance(arg, Enum) for arg in args
        ):
            return Anything()
        return Choice([(arg.value if isinstance(arg, Enum) else arg, arg) for arg in args])

    def _tuple(self, args: tuple[Any, ...]) -> Shape:
        if not args:
            return Listed(Anything(), tuple, unique=False)
        if len(args) == 2 and args[1] is Ellipsis:
            return Listed(self.shape(args[0]), tuple, unique=False)
        return Fixed([self.shape(arg) for arg in args if arg != ()])

    def _first(self, args: tuple[Any, ...]) -> Shape:
        return self.shape(args[0]) if args else Anything()

    def _class(self, hint: Any) -> Shape | None:
        if not isinstance(hint, type):
            return None
        if issubclass(hint, Enum):
            return Choice.of_enum(hint)
        if dataclasses.is_dataclass(hint):
            return self._record(hint, lambda values: hint(**values), _dataclass_fields)
        if typing.is_typeddict(hint):
            return self._record(hint, lambda values: values, _typeddict_fields)
        return None

    def _record(
        self,
        kind: type,
        make: Callable[[dict[str, Any]], Any],
        fields_of: Callable[[type, Callable[[Any], Shape]], Iterable[Field]],
    ) -> Record:
        known = self._records.get(kind)
        if known is None:
            taken = {record.name for record in self._records.values()}
            name = kind.__name__ if kind.__name__ not in taken else f"{kind.__name__}_{len(taken)}"
            known = self._records[kind] = Record(name, make)
            known.fields.extend(fields_of(kind, self.shape))
        return known


def _unwrapped(hint: Any) -> Any:
    """Without what says nothing about the value: Annotated, NewType, Required, bounds of type variables."""
    while True:
        if typing.get_origin(hint) in (
            typing.Annotated,
            typing.Required,
            typing.NotRequired,
            typing.Final,
        ):
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, NewType):
            hint = hint.__supertype__
        elif isinstance(hint, TypeVar):
            hint = hint.__bound__ if hint.__bound__ is not None else Any
        else:
            return hint


def _dataclass_fields(kind: type, shape: Callable[[Any], Shape]) -> Iterable[Field]:
    hints = type_hints(kind)
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        has_default = field.default is not dataclasses.MISSING
        made = field.default_factory is not dataclasses.MISSING
        yield Field(
            field.name,
            shape(hints.get(field.name, Any)),
            required=not has_default and not made,
            has_default=has_default,
            default=field.default,
        )


def _typeddict_fields(kind: type, shape: Callable[[Any], Shape]) -> Iterable[Field]:
    required: Mapping[str, Any] | frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined] # the caller has checked it
    for name, hint in type_hints(kind).items():
        yield Field(name, shape(hint), required=_is_required(name, hint, required))


def _is_required(name: str, hint: Any, required: Any) -> bool:
    # Under `from __future__ import annotations` the class itself could not see these marks.
    marks = {typing.Required: True, typing.NotRequired: False}
    return marks.get(typing.get_origin(hint), name in required)
