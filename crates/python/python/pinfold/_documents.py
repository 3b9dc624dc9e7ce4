"""Reads policies and settings as a program gives them: from files, as bytes, as tables."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from pinfold import errors
from pinfold.settings import Settings

Policy: TypeAlias = bytes | str | PathLike[str] | None
Document: TypeAlias = Settings | Mapping[str, Any] | str | PathLike[str] | None


def component(policy: Policy) -> bytes | None:
    """The component itself: of a file, when a path is given; `None` is the shipped one."""
    if policy is None or isinstance(policy, bytes):
        return policy
    return _read(policy, "give the path of a policy (`.wasm`), its bytes, or `None` for the shipped one")


def json_of(settings: Document) -> str:
    """The settings as JSON. That of a file is handed on as it is: what is wrong with it is found where it is read."""
    if settings is None:
        return "{}"
    if isinstance(settings, Settings):
        return _dumped(settings.document())
    if isinstance(settings, Mapping):
        return _dumped(settings)
    text = _text(settings)
    if Path(settings).suffix != ".toml":
        return text
    try:
        return json_of_toml(text)
    except ValueError as error:
        raise errors.PolicyError(
            f"`{os.fspath(settings)}` is no TOML: {error}", hint="mend the file", code="settings-invalid"
        ) from error


def json_of_toml(text: str) -> str:
    """Raises `ValueError`, also for dates, which JSON does not know."""
    try:
        return json.dumps(tomllib.loads(text), allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _dumped(settings: Mapping[str, Any]) -> str:
    try:
        return json.dumps(settings, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.PolicyError(
            f"the settings are no JSON: {error}",
            hint="use tables, lists, strings, numbers and booleans",
            code="settings-invalid",
        ) from error


def _plain(value: object) -> object:
    """Mappings of other kinds are tables, too."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"`{value!r}` is a {type(value).__name__}")


def _text(path: str | PathLike[str]) -> str:
    hint = "give the path of a file (`.json`, `.toml`), a table, or `pinfold.Settings`"
    try:
        return _read(path, hint).decode()
    except UnicodeDecodeError as error:
        raise errors.PolicyError(
            f"`{os.fspath(path)}` is no text: {error}", hint="write it in UTF-8", code="settings-invalid"
        ) from error


def _read(path: str | PathLike[str], hint: str) -> bytes:
    try:
        file = Path(path)
    except TypeError:
        raise TypeError(f"{hint}; not `{type(path).__name__}`") from None
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise errors.PolicyError(f"cannot read `{file}`: {why}", hint=hint, code="file-unreadable") from error
