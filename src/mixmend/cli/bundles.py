"""Options that several commands share, declared once: a data class becomes options."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints


def unbundled(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose type is a data class by options for the class's fields.

    typer reads a command's signature; this writes one in which a parameter
    ``reading: Reading`` has become the fields of ``Reading``, with their annotations and
    defaults, and calls the command with the instance put together again.
    """
    hints = get_type_hints(command, include_extras=True)
    bundles: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if not dataclasses.is_dataclass(hint):
            parameters.append(parameter.replace(annotation=hint))
            continue
        assert isinstance(hint, type)
        bundles[parameter.name] = hint
        field_hints = get_type_hints(hint, include_extras=True)
        parameters.extend(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field_hints[field.name],
            )
            for field in dataclasses.fields(hint)
        )
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]

    @wraps(command)
    def called(**values: Any) -> None:
        whole = {
            name: cls(**{field.name: values.pop(field.name) for field in dataclasses.fields(cls)})
            for name, cls in bundles.items()
        }
        command(**values, **whole)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    del called.__wrapped__  # inspect would look the signature up there
    return called
