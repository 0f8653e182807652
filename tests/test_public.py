"""The paths that other people's code imports stay where they are."""

from __future__ import annotations

import importlib

import pytest

import vtoon
from vtoon.errors import VtoonError
from vtoon.pipeline import stylize


@pytest.mark.parametrize("name", vtoon.__all__)
def test_every_public_name_is_there(name):
    assert getattr(vtoon, name).__module__.startswith("vtoon.")


def test_they_are_the_ones_that_the_code_uses():
    assert vtoon.load is stylize.load and vtoon.Stylizer is stylize.Stylizer and vtoon.VtoonError is VtoonError
    assert vtoon.Model is importlib.import_module("vtoon.compat.demo_model").Model
    public = importlib.import_module("vtoon.stylize")
    assert all(getattr(public, name) is getattr(stylize, name) for name in public.__all__)
    assert {"StylizeOptions", "Stylizer", "load"} <= set(public.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vtoon.nothing  # noqa: B018
