"""The oracle of the laws against itself: two ways to each number, the page's anchors, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf

from tests import oracle_laws as o

SC = "sample_covariance"
H = [1, 3, 10]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([1, 3, 7], [(0.600418, 1.285018), (1.936307, 3.999019), (4.928488, 9.984083)]),
        ([1, 3, 5], [(0.598747, 1.280686), (1.903417, 7.235208)]),
    ],
)
def test_edges_of_one_step(values, want):
    edges = o.scm_edges(values, None, 0.1)
    np.testing.assert_allclose(np.array(edges, float), want, atol=6e-7)
    brute = o.chain_edges(values, None, [(SC, 0.1)], points=101)
    assert (
        max(abs(a - b) for x, y in zip(edges, brute, strict=True) for a, b in zip(x, y, strict=True)) < 1e-35
    )


@pytest.mark.parametrize(
    ("values", "steps", "want"),
    [
        ([1, 7], [(SC, 0.1)] * 2, [(0.42347, 1.57701), (3.50884, 12.47013)]),
        ([1, 7], [(SC, 2), ("shift", 0.1), (SC, 0.05)], [(0.06871, 0.13110), (0.46115, 29.949)]),
        (
            [1],  # inner-product kernel of tanh, c = 1/4 (§5)
            [
                (SC, 4),
                ("scale", 0.60570551),
                ("shift", -0.60570551),
                ("add_semicircle", 4 * (0.39429449 - 0.60570551**2)),
            ],
            [(-1.191829, -0.051656), (0.092444, 4.875798)],
        ),
        ([1], [(SC, 1), (SC, 1)], [(0, 6.75)]),  # Fuss-Catalan
    ],
)
def test_edges_of_chains(values, steps, want):
    got = np.array(o.chain_edges(values, None, steps, 25, points=101), float)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=5e-6)


def test_edges_separate_zero_from_positive_density():
    for steps in o.CHAINS["five steps"], o.CHAINS["sc inverse semicircle corner"]:
        for a, b in o.chain_edges(H, None, steps, 25, points=101):
            for edge, inward in (a, 1), (b, -1):
                with mp.workdps(40):
                    inside, outside = (edge + sign * inward * mpf(10) ** -15 for sign in (1, -1))
                assert o.chain_density(H, None, steps, inside, 20) > 0
                assert o.chain_density(H, None, steps, outside, 20) == 0


def test_figures_of_the_page():
    assert abs(o.chain_stieltjes(H, None, o.CHAINS["five steps"], 5 + 1j) - (-0.13404 + 0.11746j)) < 8e-6
    s = o.chain_root([1, 7], None, [(SC, 0.3), (SC, 0.4)], 2 + 0.05j)
    assert abs(s - (3.160 + 1.026j)) < 8e-4
    assert abs(o.chain_stieltjes([1], None, [(SC, 2)], mpf(-3) / 10) - 2) < 1e-15


@pytest.mark.parametrize("c", [0.1, 0.5, 2])
def test_homotopy_against_polynomial_roots(c):
    edges = o.scm_edges(H, None, c)
    low, high = edges[0][0], edges[-1][1]
    for j in range(8):
        x = float(low + (high - low) * (j + mpf("0.5")) / 8)
        a, b = o.chain_density(H, None, [(SC, c)], x, 30), o.scm_roots_density(H, None, c, x)
        assert abs(a - b) < 1e-28
        for z in complex(x, 0.1), complex(x, 1e-6):
            a, b = o.chain_stieltjes(H, None, [(SC, c)], z, 30), o.scm_roots_stieltjes(H, None, c, z)
            assert abs(a - b) < 1e-26 * abs(b)


@pytest.mark.parametrize("name", list(o.CHAINS))
def test_transform_moments_and_atoms_agree(name):
    """Moments by free cumulants against the expansion at infinity; mass rules against residues."""
    steps = o.CHAINS[name]
    with mp.workdps(50):
        moments = [mpf(v.numerator) / v.denominator for v in o.free_moments(H, None, steps, 5)]
        z = mp.mpc(0, 10**9)
        rest = -o.chain_stieltjes(H, None, steps, z, 50) * z - 1
        for k, moment in enumerate(moments[:4], 1):
            rest -= moment / z**k
        assert abs(rest * z**5 / moments[4] - 1) < 1e-3
        for x, mass in o.chain_atoms(H, None, steps).items():
            near = mp.mpc(x, mpf(10) ** -16)
            assert abs(o.chain_stieltjes(H, None, steps, near, 30).imag * near.imag - mass) < 1e-7


@pytest.mark.parametrize("name", list(o.CHAINS))
def test_chains_against_simulation(name):
    """One draw at p = 180: moments 1 and 2, and m at two points."""
    steps = o.CHAINS[name]
    x = o.spectrum(o.chain_matrix(H, steps, 180, 7))
    m1, m2 = (float(v) for v in o.free_moments(H, None, steps, 2))
    np.testing.assert_allclose([x.mean(), np.mean(x**2)], [m1, m2], rtol=0.1)
    for z in 2 + 1j, -2 + 0.5j:
        want = complex(o.chain_stieltjes(H, None, steps, z, 15))
        assert abs(np.mean(1 / (x - z)) - want) < 0.05 * abs(want)


def test_fluctuations_in_closed_form():
    half = mpf(1) / 2
    for f, mean, variance in (
        (mp.log, mp.log(half) / 2, -2 * mp.log(half)),
        (lambda z: z, 0, 2 * half),
        (lambda z: z * z, half, 4 * half * (2 + 5 * half + 2 * half**2)),
    ):
        got = o.bai_silverstein([1], None, 0.5, f, 15)
        assert abs(got[0] - mean) < 1e-13
        assert abs(got[1] - variance) < 1e-12


def test_coupled_laws_reduce_to_a_sample_covariance():
    for z in 3 + 0.1j, -1 + 0.5j:
        want = o.chain_stieltjes(H, None, [(SC, 0.5)], z, 30)
        assert abs(o.separable_m(H, None, [1], None, 0.5, z) - want) < 1e-28
        assert abs(o.mixture_m([H, H], [0.25, 0.75], 0.5, z) - want) < 1e-28
        assert abs(o.information_plus_noise_m([0, 0, 0], H, None, 0.5, z) - want) < 1e-28
    z = mp.mpc(1, 0.5)
    semicircle = (-z + mp.sqrt(z - 2) * mp.sqrt(z + 2)) / 2
    assert abs(o.variance_profile_m([[1, 1], [1, 1]], z) - semicircle) < 1e-14


def test_two_resolvents_of_the_identity():
    steps, z1, z2 = [(SC, 0.5)], 2 + 1j, 4 + 0.7j
    m1, m2 = (complex(o.chain_stieltjes(H, None, steps, z, 15)) for z in (z1, z2))
    mean, error = o.two_resolvent_simulation(H, steps, z1, z2, np.ones(120), 120, 6, 0)
    assert abs(mean - (m1 - m2) / (z1 - z2)) < 6 * error + 1e-3
