"""Equivalents of whole matrices, functionals, fluctuations and spikes, from three levels to a million."""

import numpy as np

from . import common


class Equivalents:
    """A hundred points of a chain of two steps: diagonals, and all pairs of two resolvents."""

    params = [[3, 1000]]
    param_names = ["levels"]

    def setup(self, levels):
        fh = common.package()
        H = fh.Spectrum([1.0, 3.0, 10.0]) if levels == 3 else fh.Spectrum.power_law(levels, 1.2)
        self.law = fh.sample_covariance(H, 0.5).sample_covariance(0.5)
        self.fh, self.z = fh, np.linspace(0.1, 5.0, 100) + 0.1j
        self.levels = H.values
        self.time_two_resolvents(levels)

    def time_diagonals(self, levels):
        self.law.equivalent(self.z).diagonal(self.levels)

    def time_two_resolvents(self, levels):
        self.fh.two_resolvent(self.law, self.z, -1.0)


class Functionals:
    """A log-determinant three ways: on the axis, with contours as a check, and with its fluctuations."""

    params = [[3, 1000]]
    param_names = ["levels"]

    def setup(self, levels):
        fh = common.package()
        self.H = fh.Spectrum([1.0, 3.0, 10.0]) if levels == 3 else fh.Spectrum.power_law(levels, 1.2)
        self.fh, self.law = fh, fh.sample_covariance(self.H, 0.5)
        self.time_functional(levels)
        self.time_linear_statistic(levels)

    def time_expect(self, levels):
        self.law.expect(np.log)

    def time_functional(self, levels):
        self.fh.functional(self.law, np.log)

    def time_linear_statistic(self, levels):
        self.fh.linear_statistic(self.H, 0.5, np.log)


class Spikes:
    """A thousand spikes of one law, there and back."""

    def setup(self):
        fh = common.package()
        self.fh, self.H = fh, fh.Spectrum([1.0, 3.0, 10.0])
        self.values = np.linspace(20.0, 100.0, 1000)
        self.outliers = fh.spike(self.H, 0.5, self.values).location
        self.time_spike_from_outlier()

    def time_spike(self):
        self.fh.spike(self.H, 0.5, self.values)

    def time_spike_from_outlier(self):
        self.fh.spike_from_outlier(self.H, 0.5, self.outliers)
