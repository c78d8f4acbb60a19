"""Packages that only some runs need: the extras of `pip install 'boresight[…]'`."""

from importlib import import_module
from typing import Any

from boresight.errors import UserError


def require(package: str, extra: str) -> Any:
    """A package, or a module of one, that an extra brings.

    Raises:
        UserError: it is not installed; says which extra has it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(f"{package} is not installed: pip install 'boresight[{extra}]'") from error
