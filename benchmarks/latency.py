"""What a user waits for: the import, the first call of a process, one number."""

from . import common

_CALL = """
import fasthde as fh
problem = fh.LinearProblem(fh.Spectrum.power_law(1000, 1.5), 1.0, 0.01)
fh.ridge(problem, 1500.0, 1e-3)
"""

_LAW = """
import fasthde as fh
law = fh.sample_covariance(fh.Spectrum([1.0, 3.0, 10.0]), 0.5)
law.pdf(2.0)
"""


def timeraw_import():
    """``import fasthde`` in a fresh process: neither numba nor scipy is loaded."""
    return "import fasthde"


def timeraw_import_names():
    """Import and look up the names of a first script, which loads numba."""
    return "from fasthde import LinearProblem, Spectrum, ridge"


def timeraw_first_call():
    """Import, build a problem and solve one point in a fresh process; kernels come from the on-disk cache."""
    exec(_CALL, {})  # here, off the clock: compiles and fills the cache if need be
    return _CALL


def timeraw_first_law():
    """Import, build a law and ask for one density in a fresh process; kernels come from the on-disk cache."""
    exec(_LAW, {})  # here, off the clock: compiles and fills the cache if need be
    return _LAW


class Scalar:
    """One call of `ridge` for one number: the overhead of the API plus one root."""

    params = [1_000, 1_000_000]
    param_names = ["p"]

    def setup(self, p):
        self.ridge = common.package().ridge
        self.problem = common.problem(p)
        self.n = 1.5 * p
        self.ridge(self.problem, self.n, 1e-3)

    def time_ridge(self, p):
        self.ridge(self.problem, self.n, 1e-3)


class ScalarLaw:
    """One number of a law ready for use: the overhead of the API."""

    params = [["W1 c=.5", "W2"]]
    param_names = ["workload"]

    def setup(self, workload):
        self.law = common.prepared(workload)
        self.time_stieltjes(workload)

    def time_pdf(self, workload):
        self.law.pdf(0.5)

    def time_stieltjes(self, workload):
        self.law.stieltjes(-0.5)
