"""Spectral laws: W1 (three levels), W2 (a thousand, 17 intervals), transforms, edges, chains, batches, p = 10**6.

A law prepares itself on first use: its support, then the series behind density, masses and quantiles.
"""

import numpy as np

from . import common


class Density:
    """W1 and W2: density of a law at 1000 points of its hull."""

    params = [list(common.LAWS)]
    param_names = ["workload"]

    def setup(self, workload):
        self.spectrum = common.spectrum(workload)
        self.law = common.prepared(workload)
        self.x = common.midpoints(self.law)
        self.time_pdf(workload)

    def time_new_law(self, workload):
        """Construction: a new law, its support and its series."""
        common.prepare(common.law(workload, self.spectrum))

    def time_pdf(self, workload):
        """1000 points of a law ready for use."""
        self.law.pdf(self.x)


class Series:
    """The series alone, of a law that knows its support."""

    params = [list(common.LAWS)]
    param_names = ["workload"]

    # a law makes its series once, so each sample needs a new one
    number, warmup_time = 1, 0.0

    def setup(self, workload):
        common.prepared(workload)
        self.law = common.law(workload)
        self.law.support  # noqa: B018

    def time_series(self, workload):
        self.law.pdf(0.0)


class Edges:
    """W4: all edges of a new law."""

    params = [list(common.LAWS)]
    param_names = ["workload"]

    def setup(self, workload):
        self.spectrum = common.spectrum(workload)
        common.prepared(workload)

    def time_support(self, workload):
        return common.law(workload, self.spectrum).support


class Transform:
    """W3: Stieltjes transform at 600 points above the hull and 33 on the negative axis."""

    params = [["W1 c=.5", "W2"]]
    param_names = ["workload"]

    def setup(self, workload):
        self.law = common.prepared(workload)
        self.z = common.transform_points(self.law)
        self.x = -common.negative_points()
        for z in (self.z, self.x):
            assert np.all(self.law.stieltjes(z, full_output=True).success)

    def time_stieltjes(self, workload):
        """All 633 points, as complex numbers."""
        self.law.stieltjes(self.z)

    def time_negative(self, workload):
        """The 33 points -lambda, as real numbers."""
        self.law.stieltjes(self.x)


class Chain:
    """Five steps: sample covariance, scale, shift, sample covariance, semicircle."""

    def setup(self):
        self.spectrum = common.spectrum("chain")
        self.law = common.prepared("chain")
        self.x = common.midpoints(self.law)
        self.z = common.transform_points(self.law)
        self.z = self.z[self.z.imag > 0.0]  # this law reaches below zero
        assert np.all(self.law.stieltjes(self.z, full_output=True).success)

    def time_new_law(self):
        """Construction: a new law, its support and its series."""
        common.prepare(common.law("chain", self.spectrum))

    def time_pdf(self):
        """1000 points of a law ready for use."""
        self.law.pdf(self.x)

    def time_stieltjes(self):
        """600 points above the hull."""
        self.law.stieltjes(self.z)


class Use:
    """Masses, quantiles and draws at 10**5 points, and one expectation."""

    params = [["W1 c=.5", "W2"]]
    param_names = ["workload"]

    def setup(self, workload):
        self.law = common.prepared(workload)
        self.x = common.midpoints(self.law, 100_000)
        self.q = (np.arange(100_000) + 0.5) / 100_000
        np.testing.assert_allclose(self.law.cdf(self.law.ppf(self.q)), self.q, atol=1e-12)

    def time_cdf(self, workload):
        self.law.cdf(self.x)

    def time_ppf(self, workload):
        self.law.ppf(self.q)

    def time_rvs(self, workload):
        self.law.rvs(100_000, rng=common.SEED)

    def time_expect_log(self, workload):
        """The log-determinant: a few microseconds a piece of the series."""
        self.law.expect(np.log)


class Batch:
    """1000 pairs of a ratio and a population of three levels, in one call."""

    def setup(self):
        self.laws = common.batch()
        self.x = common.batch_points(self.laws)
        assert np.isfinite(self.laws.pdf(self.x)).all()

    def time_support(self):
        """The laws and their supports."""
        common.batch()

    def time_new_laws(self):
        """Construction: the laws, their supports and their series."""
        common.batch().pdf([1.0])

    def time_pdf(self):
        """500 points of its own for each law, ready for use."""
        self.laws.pdf(self.x)

    def peakmem_pdf(self):
        """Peak of the whole process; the result takes 4 MB."""
        common.batch().pdf(self.x)


class BatchSeries:
    """The series alone, of a batch that knows its supports."""

    # a batch makes its series once, so each sample needs a new one
    number, warmup_time = 1, 0.0

    def setup(self):
        common.batch().pdf([1.0])
        self.laws = common.batch()

    def time_series(self):
        self.laws.pdf([1.0])


class Million:
    """A population of 10**6 different eigenvalues: support and series of a new law, once."""

    params = [["one interval", "power law"]]
    param_names = ["population"]
    number, repeat, warmup_time, timeout = 1, 1, 0.0, 900

    def setup(self, population):
        i = np.arange(1, 10**6 + 1.0)
        values = i**-1.2 if population == "power law" else 1.0 + 9e-6 * i
        self.spectrum = common.package().Spectrum(values)
        self.intervals = 540 if population == "power law" else 1
        small = common.package().Spectrum(values[:: 10**6 // 5000])  # the same kernels in no time
        common.prepare(common.package().sample_covariance(small, 0.5))

    def new_law(self):
        law = common.prepare(common.package().sample_covariance(self.spectrum, 0.5))
        assert len(law.support) == self.intervals, len(law.support)

    def time_new_law(self, population):
        self.new_law()

    def peakmem_new_law(self, population):
        """Peak of the whole process; the eigenvalues take 8 MB."""
        self.new_law()
