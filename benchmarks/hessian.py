"""Hessian laws: the law of the weights, support, series, transform and isolated eigenvalues.

A law prepares itself on first use: its support, then the series behind density, masses and quantiles.
"""

import numpy as np

from . import common

MODELS = ["logistic", "probit", "poisson", "phase retrieval", "clipped phase retrieval"]


def law(name):
    """A new law over three levels, with nothing prepared yet."""
    fh = common.package()
    spectrum = fh.Spectrum([1.0, 3.0, 10.0], [2, 1, 1])
    w, w_star = np.array([0.8, 0.5, 0.1]), np.array([0.9, -0.6, 0.2])
    clipping = 3.0 if name.startswith("clipped") else None
    name = "phase_retrieval" if "phase" in name else name
    return fh.hessian_law(spectrum, 0.5, name, w, w_star, clipping=clipping)


class Hessian:
    """Each part of a new law."""

    params = [MODELS]
    param_names = ["model"]

    # a law prepares itself once, so each sample needs a new one
    number, warmup_time = 1, 0.0

    def setup(self, model):
        ready = law(model)
        ready.pdf(1.0)
        ready.spikes  # noqa: B018
        self.law, self.z = law(model), np.linspace(-2.0, 9.0, 1000) + 0.1j

    def time_new(self, model):
        """The law of the weights alone."""
        law(model)

    def time_support(self, model):
        self.law.support  # noqa: B018

    def time_pdf(self, model):
        """Support and series."""
        self.law.pdf(1.0)

    def time_spikes(self, model):
        """Support and isolated eigenvalues."""
        self.law.spikes  # noqa: B018

    def time_stieltjes(self, model):
        """1000 points."""
        self.law.stieltjes(self.z)
