"""The examples in the docstrings of every module run; those of the public API are in `test_api_doctests.py`."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest
from test_architecture import MODULES, PACKAGE, names_of

WITH_EXAMPLES = [
    names_of(path) for path in MODULES if ">>>" in path.read_text("utf-8") and path.parent != PACKAGE / "api"
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
