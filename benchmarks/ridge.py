"""Ridge curves: the grid L1 (p = 1000), the same at p = 10**6, surfaces, compression, the best ridge."""

from . import common


class L1:
    """All fields on 200 ratios times 50 ridges at p = 1000; the problem keeps its compressed form."""

    params = [True, False]
    param_names = ["compress"]

    def setup(self, compress):
        self.ridge = common.package().ridge
        self.problem = common.problem(1000)
        self.n, self.lam = common.grid(1000)
        self.time_ridge(compress)

    def time_ridge(self, compress):
        self.ridge(self.problem, self.n, self.lam, compress=compress)

    def time_one_thread(self, compress):
        self.ridge(self.problem, self.n, self.lam, compress=compress, threads=1)

    def time_new_problem(self, compress):
        """As time_ridge, with the spectrum and the problem built, and compressed, in each call."""
        self.ridge(common.problem(1000), self.n, self.lam, compress=compress)


class L1Infinity:
    """L1 with a million levels: as fast as L1 once compressed."""

    def setup(self):
        self.ridge = common.package().ridge
        self.problem = common.problem(10**6)
        self.n, self.lam = common.grid(10**6)
        self.time_ridge()

    def time_ridge(self):
        self.ridge(self.problem, self.n, self.lam)


class Elliptical:
    """L1 for samples of 50 different norms: two coupled unknowns a point."""

    def setup(self):
        self.ridge = common.package().ridge
        self.problem = common.problem(1000, norms=common.norms(50))
        self.n, self.lam = common.grid(1000)
        self.time_ridge()

    def time_ridge(self):
        self.ridge(self.problem, self.n, self.lam)


class Surface:
    """A million points, 1000 ratios times 1000 ridges."""

    params = [1_000, 1_000_000]
    param_names = ["p"]

    def setup(self, p):
        self.ridge = common.package().ridge
        self.problem = common.problem(p)
        self.n, self.lam = common.grid(p, 1000, 1000)
        self.ridge(self.problem, *common.grid(p))  # the same kernels without the memory

    def surface(self):
        return self.ridge(self.problem, self.n, self.lam)

    def time_ridge(self, p):
        self.surface()

    def peakmem_ridge(self, p):
        """Peak of the whole process: interpreter, compiler, preparation, result."""
        self.surface()

    def track_memory_over_results(self, p):
        """Peak memory of the call beyond the arrays that it returns."""
        return common.memory_over_results(self.surface)[0]

    track_memory_over_results.unit = "bytes"


class Compression:
    """Gauss rules for a million levels."""

    # a problem compresses once, so each sample needs a new one
    number, warmup_time = 1, 0.0

    def setup(self):
        fh = common.package()
        self.ridge = fh.ridge
        self.spectrum = fh.Spectrum(common.population(10**6)[0])
        self.ridge(common.problem(1000), 1.5e6, 1e-3)
        self.problem = common.problem(10**6)

    def time_values(self):
        self.spectrum.compress()

    def time_values_and_signal(self):
        """First point of a new problem: compresses the spectrum and the signal, then solves one point."""
        self.ridge(self.problem, 1.5e6, 1e-3)


class OptimalRidge:
    """The best ridge for 200 sample sizes."""

    def setup(self):
        self.optimal_ridge = common.package().optimal_ridge
        self.problem = common.problem(1000)
        self.n = common.grid(1000)[0].ravel()
        self.time_optimal_ridge()

    def time_optimal_ridge(self):
        self.optimal_ridge(self.problem, self.n)
