"""Measures as the kernels want them: Gauss rules, exact counts, padding."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthde import _measure
from tests import oracles
from tests.common import powers


def gauss_error(t, w, nodes, weights):
    kappas = np.geomspace(1e-9, 1e3, 13)
    return float(
        np.max(np.abs(oracles.gauss_sums(nodes, weights, kappas) / oracles.gauss_sums(t, w, kappas) - 1))
    )


@pytest.mark.parametrize("m", [2, 5, 10, 16])
def test_order_and_error(m):
    """On a factor 4 the m-point rule errs like 3**(-2 m)."""
    t = np.linspace(2.0, 7.99, 500)
    nodes, weights, bounds = _measure.reduce(t, np.ones(500), m)
    assert nodes.size == m
    assert bounds.tolist() == [0, m]
    assert gauss_error(t, np.ones(500), nodes, weights) <= max(60 * m * 9.0**-m, 3e-15)


def test_order_for():
    assert [_measure.order_for(r) for r in (1e-15, 1e-14, 1e-2, 0.9)] == [16, 15, 3, 2]


@pytest.mark.parametrize("size", [4096, 4097, 20000])
def test_both_sides_of_the_fine_bins(size):
    rng = np.random.default_rng(size)
    t, w = 10 ** rng.uniform(-6, 6, size), 10 ** rng.uniform(-6, 6, size)
    nodes, weights, bounds = _measure.reduce(t, w, 16)
    assert gauss_error(t, w, nodes, weights) <= 2e-14
    assert nodes.size <= 16 * 22
    assert np.all(np.diff(bounds) <= 16)
    assert weights.sum() == pytest.approx(w.sum(), rel=1e-14)


def test_rules_are_exact_to_degree_31():
    t = np.random.default_rng(0).uniform(2.0, 8.0, 300)
    nodes, weights, _ = _measure.reduce(t, np.ones(300), 16)
    for degree in range(32):
        assert np.sum(weights * (nodes / 5) ** degree) == pytest.approx(np.sum((t / 5) ** degree), rel=1e-13)


@pytest.mark.parametrize("distinct", [1, 2, 3, 15, 16])
@pytest.mark.parametrize("size", [60, 6000])
def test_fewer_distinct_values_than_nodes(distinct, size):
    t = np.resize(np.linspace(2.0, 7.0, distinct), size)
    nodes, weights, _ = _measure.reduce(t, np.ones(size), 16)
    assert nodes.size <= max(distinct, 16)
    assert np.all(weights > 0)
    assert gauss_error(t, np.ones(size), nodes, weights) <= 2e-14


@settings(max_examples=100)
@given(st.lists(st.tuples(powers(-150, 150), powers(-8, 8)), min_size=1, max_size=60), st.integers(2, 16))
def test_blocks_descend_and_keep_their_mass(atoms, m):
    t, w = map(np.array, zip(*atoms, strict=True))
    nodes, weights, bounds = _measure.reduce(t, w, m)
    assert bounds[-1] == nodes.size
    assert weights.sum() == pytest.approx(w.sum(), rel=1e-14)
    blocks = [nodes[a:b] for a, b in itertools.pairwise(bounds)]
    assert all(one.min() > next_.max() for one, next_ in itertools.pairwise(blocks))


@settings(max_examples=200)
@given(st.lists(st.tuples(powers(-3, 3), powers(-9, 15)), min_size=1, max_size=80), st.booleans())
def test_levels_count_exactly(atoms, compress):
    t, k = map(np.array, zip(*atoms, strict=True))
    levels, (trace, rank, rank_low) = _measure.levels(t, k, compress)
    blocks = (
        (lambda x: np.frexp(x)[1] >> 1) if compress and t.size > 16 else (lambda x: x)
    )  # factors 4, or values
    for edge, high, low in zip(levels.edge, levels.above[1:], levels.above_low[1:], strict=True):
        exact = sum(map(Fraction, k[blocks(t) >= blocks(edge)]), Fraction(0))
        assert abs(Fraction(high) + Fraction(low) - exact) <= exact * Fraction(2) ** -100
    exact = sum(map(Fraction, k), Fraction(0))
    assert abs(Fraction(rank) + Fraction(rank_low) - exact) <= exact * Fraction(2) ** -100
    assert trace == pytest.approx(float(np.dot(t, k)), rel=1e-14)
    assert (levels.above[0], levels.above_low[0]) == (0, 0)
    assert levels.k.sum() == pytest.approx(float(exact), rel=1e-14)


def test_levels_leave_out_zeros():
    levels, (trace, rank, low) = _measure.levels(np.array([0.0, 2.0, 1.0]), np.array([5.0, 3.0, 0.0]), True)
    assert (trace, rank, low) == (6.0, 3.0, 0.0)
    assert levels.k.sum() == 3
    assert levels.edge.tolist() == [2.0]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 17, 31, 32, 33, 1000])
def test_pad(size):
    t, w = np.arange(1.0, size + 1.0), np.ones(size)
    a, b = _measure.pad(t, w)
    assert a.size == b.size
    assert a.size % 8 == 0
    assert a.size > 0
    assert size <= 8 or a.size % 16 == 0
    np.testing.assert_array_equal(a[:size], t)
    assert b.sum() == size
    assert np.all(a > 0)


def test_measure_of_nothing():
    t, w = _measure.measure(np.array([0.0, 1.0]), np.array([1.0, 0.0]), True)
    assert w.sum() == 0
    assert t.size == w.size == 8
