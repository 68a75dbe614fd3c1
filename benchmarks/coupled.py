"""Laws with coupled unknowns: construction, density and transform of each of the four families.

A law prepares itself on first use: its support, then the series behind density, masses and quantiles.
"""

import numpy as np

from . import common

NAMES = ["separable", "mixture", "information plus noise", "variance profile"]


def law(name):
    """A new law of easy size, with nothing prepared yet."""
    fh = common.package()
    levels = fh.Spectrum([1.0, 3.0, 10.0])
    if name == "separable":
        return fh.separable(levels, fh.Spectrum([0.5, 1.5]), 0.5)
    if name == "mixture":
        return fh.mixture([levels, fh.Spectrum([5.0, 1.0, 2.0])], [0.25, 0.75], 0.5)
    if name == "information plus noise":
        return fh.information_plus_noise(fh.Spectrum([2.0, 0.0, 0.0]), 0.5)
    return fh.variance_profile([[1.0, 2.0, 0.1], [2.0, 0.5, 1.0], [0.1, 1.0, 3.0]])


def wide_law(name, size=200):
    """The same families with many levels (two classes; as many blocks as levels for a tenth of the size)."""
    fh = common.package()
    t = np.linspace(1.0, 10.0, size)
    if name == "separable":
        return fh.separable(fh.Spectrum(t), fh.Spectrum(t[::-1] ** 2), 0.5)
    if name == "mixture":
        return fh.mixture([fh.Spectrum(t), fh.Spectrum(t[::-1])], [0.5, 0.5], 0.5)
    if name == "information plus noise":
        return fh.information_plus_noise(fh.Spectrum(t), 0.5)
    few = t[:: size // 20]
    return fh.variance_profile(np.exp(-np.abs(np.subtract.outer(few, few))))


class New:
    """A new law with its support and its series, and each of the two."""

    params = [NAMES, ["easy", "wide"]]
    param_names = ["family", "size"]

    def setup(self, family, size):
        self.make = law if size == "easy" else wide_law
        common.prepare(self.make(family))

    def time_support(self, family, size):
        return self.make(family).support

    def time_support_and_series(self, family, size):
        common.prepare(self.make(family))


class Points:
    """A law ready for use: 1000 densities from its series, and 1000 transforms, each a Newton iteration."""

    params = [NAMES]
    param_names = ["family"]

    def setup(self, family):
        self.law = common.prepare(law(family))
        self.x = common.midpoints(self.law)
        self.z = self.x + 1e-3j
        assert np.all(self.law.stieltjes(self.z, full_output=True).success)

    def time_pdf(self, family):
        self.law.pdf(self.x)

    def time_stieltjes(self, family):
        self.law.stieltjes(self.z)


_FIRST = """
import fasthde as fh
law = fh.separable(fh.Spectrum([1.0, 3.0, 10.0]), fh.Spectrum([0.5, 1.5]), 0.5)
law.pdf(1.0)
"""


def timeraw_first_coupled_law():
    """Import, build a law and ask for one density in a fresh process; kernels come from the on-disk cache."""
    exec(_FIRST, {})  # here, off the clock: compiles and fills the cache if need be
    return _FIRST
