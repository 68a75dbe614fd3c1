"""Random features: the grid L2, the same for kernels, one point, and a grid given real data.

Workload
--------
L2
    ReLU features of data with a thousand eigenvalues k**-1.2, the rest of the activation as one level of multiplicity
    10**6, 1000 samples, 200 widths in [50, 20000] times 20 ridges in [1e-6, 100].
"""

import numpy as np

from . import common


class L2:
    """All fields on the grid; the problem keeps its compressed form."""

    params = [True, False]
    param_names = ["compress"]

    def setup(self, compress):
        self.fh = common.package()
        self.problem = common.feature_problem()
        self.width, self.lam = common.feature_grid()
        self.time_random_features(compress)
        self.fh.kernel_ridge(self.problem, 1000, 1e-3)

    def time_random_features(self, compress):
        self.fh.random_features(self.problem, None, self.width, 1000, self.lam, compress=compress)

    def time_one_thread(self, compress):
        self.fh.random_features(self.problem, None, self.width, 1000, self.lam, compress=compress, threads=1)

    def time_kernel_ridge(self, compress):
        """As many points of kernel ridge regression: 200 sample sizes."""
        self.fh.kernel_ridge(self.problem, self.width, self.lam, compress=compress)


class Point:
    """One point, and one of a new problem and activation."""

    def setup(self):
        self.fh = common.package()
        self.problem = common.feature_problem()
        self.linear = self.fh.LinearProblem(self.fh.Spectrum.power_law(1000, 1.2), 1.0, 0.01)
        self.time_point()
        self.time_new_activation()

    def time_point(self):
        self.fh.random_features(self.problem, None, 500, 1000, 1e-3)

    def time_new_activation(self):
        self.fh.random_features(self.linear, "tanh", np.array([500.0, 2000.0]), 1000, 1e-3)


class Conditional:
    """Given 1000 digits and 797 to test on: a new data set with one point, and with 200 widths times 20 ridges."""

    def setup(self):
        fh = common.package()
        data = fh.data.load("digits")
        x = (data.X - data.X.mean(axis=0)) / 20.0
        width, lam = common.feature_grid()

        def call(width, lam):
            return fh.random_features_on(x[:1000], data.y[:1000], x[1000:], data.y[1000:], "relu", width, lam)

        self.call, self.grid = call, (width, lam)
        call(500.0, 1e-3)

    def time_point(self):
        self.call(500.0, 1e-3)

    def time_grid(self):
        self.call(*self.grid)
