"""Activations and exact kernels: Hermite coefficients (L4), duals, and whole kernel matrices (L3).

Workloads
---------
L3
    CK and NTK, three hidden layers, weight variance 1.5**2, bias variance .1**2, 2000 points, d = 64 or 784; inputs of
    one norm or not; one near-duplicate and one antipodal pair.
L4
    Hermite coefficients 0..50 of ten activations.
"""

import numpy as np

from . import common


class Hermite:
    """L4, and one activation at many scales."""

    def setup(self):
        self.fh = common.package()
        common.hermite_table(self.fh)
        self.scales = np.linspace(0.5, 2.0, 2000)

    def time_ten(self):
        """Coefficients 0..50 of ten activations."""
        common.hermite_table(self.fh)

    def time_scales(self):
        """Coefficients 0..64 of tanh at 2000 scales."""
        self.fh.activation("tanh").hermite(64, self.scales)

    def time_new_callable(self):
        """A callable whose kinks must be found, and its coefficients 0..50."""
        self.fh.activation(lambda t: np.clip(t, -1.0, 0.7)).hermite(50)


class Dual:
    """1000 correlations at one pair of variances: a closed form, a series, a quadrature."""

    params = [["gelu", "tanh", "elu"], [False, True]]
    param_names = ["activation", "derivative"]

    def setup(self, activation, derivative):
        self.act = common.package().activation(activation)
        self.rho = np.linspace(-1.0, 1.0, 1000)
        self.act.dual(self.rho, derivative=derivative)

    def time_dual(self, activation, derivative):
        self.act.dual(self.rho, derivative=derivative)

    def time_one(self, activation, derivative):
        self.act.dual(0.5, 1.0, 2.0, derivative=derivative)


class Kernels:
    """Both kernels of L3, d = 64."""

    params = [common.L3_ACTIVATIONS, ["one norm", "unequal"]]
    param_names = ["activation", "norms"]
    timeout = 120

    def setup(self, activation, norms):
        self.x = common.kernel_inputs(norms, 64)
        self.fh = common.package()
        common.kernels(self.fh, self.x, activation)

    def time_kernels(self, activation, norms):
        common.kernels(self.fh, self.x, activation)


class Stream:
    """A kernel of 6000 points handed out in blocks of at most 32 MB."""

    timeout = 120

    def setup(self):
        self.x = common.kernel_inputs("unequal", 64, 6000)
        self.conjugate = common.package().conjugate_kernel

    def stream(self):
        self.conjugate(self.x, "relu", 3, out=lambda i, j, block: None, memory_limit=2**25)

    def time_stream(self):
        self.stream()

    def peakmem_stream(self):
        self.stream()


class Equivalents:
    """Coefficients of a deep equivalent, and its matrix."""

    def setup(self):
        fh = common.package()
        rng = np.random.default_rng(common.SEED)
        p = 400
        self.mixture = fh.GaussianMixture(np.zeros((2, p)), [1.0, 1.5])
        self.x, self.labels = self.mixture.sample(800, rng=rng)
        self.fh = fh
        self.equivalent = fh.kernel_equivalent("relu", self.mixture, depth=3)

    def time_coefficients(self):
        self.fh.kernel_equivalent("relu", self.mixture, depth=3)

    def time_matrix(self):
        self.equivalent.matrix(self.x, self.labels)

    def time_finite_width_law(self):
        self.fh.finite_width_law(self.fh.Spectrum.isotropic(400), "tanh", [800, 800], 0.5).pdf(1.0)
