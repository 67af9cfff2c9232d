"""How large a VM may be: compute offerings that say it, and custom ones that leave it to the request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Offering
from interlock.schema.errors import InvalidRequest
from tests.asking import a_cloud, accepts, ask, refuses

few = st.integers(1, 6)


@st.composite
def figures(draw: st.DrawFn) -> tuple[int | None, int | None, int, int]:
    """What the offering fixes, what is asked, and the bounds."""
    fixed, asked = draw(st.none() | few), draw(st.none() | few)
    least = draw(few)
    return fixed, asked, least, draw(st.integers(least, 6))


@given(st.tuples(figures(), figures(), figures()))
def test_each_figure_is_either_the_offerings_or_the_requests_within_bounds(each: Any) -> None:
    names = ("cpu_cores", "cpu_mhz", "memory_mib")
    bounds = (("cores_least", "cores_most"), ("mhz_least", "mhz_most"), ("memory_least_mib", "memory_most_mib"))
    fields: dict[str, Any] = {}
    for name, (least, most), (fixed, _, low, high) in zip(names, bounds, each, strict=True):
        fields |= {name: fixed, least: low, most: high}
    wishes = {name: asked for name, (_, asked, _, _) in zip(names, each, strict=True)}
    cloud = a_cloud(Offering(id="any", **fields))
    fits = all(
        asked is None if fixed is not None else asked is not None and low <= asked <= high
        for fixed, asked, low, high in each
    )
    assert accepts(cloud, offering="any", **wishes) == fits
    if fits:
        cores, mhz, memory = (fixed or asked for fixed, asked, _, _ in each)
        vm = ask(cloud, offering="any", **wishes).vm
        assert vm is not None
        assert (vm.cpu_cores, vm.cpu_mhz, vm.memory_mib) == (cores, cores * mhz, memory)


CUSTOM = {"offering": "custom", "cpu_cores": 2, "cpu_mhz": 1000, "memory_mib": 512}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"cpu_cores": None}, "offering custom takes cpu_cores from 2 to 4: say which"),
        ({"cpu_cores": 1}, "offering custom takes cpu_cores from 2 to 4, not 1: choose one of these, or another"),
        ({"cpu_cores": 5}, "offering custom takes cpu_cores from 2 to 4, not 5"),
        ({"cpu_mhz": None}, "offering custom takes cpu_mhz from 500 to 3000: say which"),
        ({"cpu_mhz": 499}, "offering custom takes cpu_mhz from 500 to 3000, not 499"),
        ({"memory_mib": None}, "offering custom takes memory_mib from 1 to 4096: say which"),
        ({"memory_mib": 4097}, "offering custom takes memory_mib from 1 to 4096, not 4097"),
    ],
)
def test_a_custom_offering_refuses_with_its_bounds(wish: dict[str, Any], words: str) -> None:
    assert accepts(a_cloud(), **CUSTOM)
    refuses(InvalidRequest, words, a_cloud(), **{**CUSTOM, **wish})


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"cpu_cores": 1}, "offering small fixes cpu_cores at 1; leave cpu_cores out, or choose a custom offering"),
        ({"cpu_mhz": 1000}, "offering small fixes cpu_mhz at 1000"),
        ({"memory_mib": 99}, "offering small fixes memory_mib at 1024"),
    ],
)
def test_a_fixed_offering_refuses_figures_even_its_own(wish: dict[str, Any], words: str) -> None:
    refuses(InvalidRequest, words, a_cloud(), **wish)
