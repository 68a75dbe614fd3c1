"""Time of fasthde over the time of a fixed reference, taken in turns in one process: smaller is better.

A busy or a slow machine changes both, so these are the figures to guard. fasthde computes all its fields on
the L1 grid, the SciPy references kappa alone. The references run on a random subset of the grid, and their
times are scaled to all of it (see `common`). Laws are measured against what researchers write, which finds the
density to 1e-3 (the fixed point) or for few levels only (the roots), and against the eigenvalues of one matrix.
"""

from functools import partial

import numpy as np

from . import common


def l1_calls(**options):
    """fasthde on L1, the two references, and the factors that scale these to the whole grid."""
    common.settle_allocator()
    call = partial(common.package().ridge, common.problem(1000), *common.grid(1000), **options)
    subset, chunks = common.brentq_subset(), common.find_root_subset()
    calls = {
        "fasthde": call,
        "brentq": partial(common.brentq_loop, 1000, subset),
        "find_root": partial(common.find_root_chunks, 1000, chunks),
    }
    # a comparison of times means something only if all find the same roots
    kappa = call().kappa.ravel()
    np.testing.assert_allclose(calls["brentq"](), kappa[subset], rtol=1e-11)
    np.testing.assert_allclose(calls["find_root"](), kappa.reshape(-1, common.CHUNK)[chunks], rtol=1e-11)
    return calls, {"brentq": common.GRID / subset.size, "find_root": common.GRID / common.CHUNK / chunks.size}


class L1:
    """All fields of L1 against loops for kappa alone, on all threads and on one as the references are."""

    params = [[True, False], ["all", 1]]
    param_names = ["compress", "threads"]
    unit = "ratio"
    timeout = 120

    def setup(self, compress, threads):
        options = {} if threads == "all" else {"threads": threads}
        self.calls, self.scale = l1_calls(compress=compress, **options)

    def ratio(self, reference):
        times = common.interleaved({name: self.calls[name] for name in ("fasthde", reference)})
        return times["fasthde"] / (times[reference] * self.scale[reference])

    def track_over_brentq(self, compress, threads):
        """200 of the 10 000 points are timed for brentq."""
        return self.ratio("brentq")

    def track_over_find_root(self, compress, threads):
        """10 of the 50 chunks of 200 points are timed for find_root."""
        return self.ratio("find_root")


def l2_calls(**options):
    """fasthde on L2, the references on some of its points, and what these times are to be multiplied with."""
    common.settle_allocator()
    width, lam = common.feature_grid()
    call = partial(
        common.package().random_features, common.feature_problem(), None, width, 1000, lam, **options
    )
    subset = common.feature_subset()
    calls = {
        "fasthde": call,
        "brentq": partial(common.feature_brentq, subset),
        "fixed point": partial(common.feature_fixed_point, subset),
    }
    kappa = call().kappa.ravel()[subset]
    np.testing.assert_allclose(calls["brentq"](), kappa, rtol=1e-11)
    np.testing.assert_allclose(calls["fixed point"](), kappa, rtol=1e-6)
    return calls, common.FEATURE_GRID / subset.size


class L2:
    """All fields of L2 against loops for kappa alone, on 40 of its 4000 points."""

    params = [True, False]
    param_names = ["compress"]
    unit = "ratio"
    timeout = 120

    def setup(self, compress):
        self.calls, self.scale = l2_calls(compress=compress)

    def ratio(self, reference):
        times = common.interleaved({name: self.calls[name] for name in ("fasthde", reference)})
        return times["fasthde"] / (times[reference] * self.scale)

    def track_over_brentq(self, compress):
        """Roots to rounding."""
        return self.ratio("brentq")

    def track_over_fixed_point(self, compress):
        """The plain iteration in NumPy, which stops at 1e-8."""
        return self.ratio("fixed point")


class L1Infinity:
    """p = 10**6 against p = 1000, both compressed: near 1, whatever the number of levels."""

    unit = "ratio"

    def setup(self):
        ridge = common.package().ridge
        self.calls = {p: partial(ridge, common.problem(p), *common.grid(p)) for p in (10**3, 10**6)}
        for call in self.calls.values():
            call()

    def track_over_l1(self):
        times = common.interleaved(self.calls, repeats=20)
        return times[10**6] / times[10**3]


class Elliptical:
    """50 sample norms against equal ones, on L1."""

    unit = "ratio"

    def setup(self):
        ridge = common.package().ridge
        args = common.grid(1000)
        self.calls = {
            "plain": partial(ridge, common.problem(1000), *args),
            "elliptical": partial(ridge, common.problem(1000, norms=common.norms(50)), *args),
        }
        for call in self.calls.values():
            call()

    def track_over_plain(self):
        times = common.interleaved(self.calls, repeats=10)
        return times["elliptical"] / times["plain"]


def over(calls, mine, reference, scale=1.0):
    """Time of one call over that of another, which is scaled."""
    times = common.interleaved({name: calls[name] for name in (mine, reference)})
    return times[mine] / (times[reference] * scale)


class W1:
    """Density of W1 at 1000 points against a damped fixed point and against polynomial roots.

    ``pdf`` is that of a law ready for use, ``new`` includes the law, its support and its series.
    """

    params = [["W1 c=.1", "W1 c=.5"], ["pdf", "new"]]
    param_names = ["workload", "part"]
    unit = "ratio"
    timeout = 120

    def setup(self, workload, part):
        self.calls, self.scale = common.law_calls(workload)

    def track_over_fixed_point(self, workload, part):
        return over(self.calls, part, "fixed_point")

    def track_over_roots(self, workload, part):
        return over(self.calls, part, "roots")


class Laws:
    """A new law and its density at 1000 points against the eigenvalues of one 1000 x 1000 sample covariance."""

    params = [[*common.LAWS, "chain"]]
    param_names = ["workload"]
    unit = "ratio"
    timeout = 120

    def setup(self, workload):
        self.calls, _ = common.law_calls(workload)

    def track_over_eigvalsh(self, workload):
        return over(self.calls, "new", "eigvalsh")


class Batch:
    """A batch of 1000 laws with 500 points each, from nothing, against the same eigenvalues, and law by law."""

    unit = "ratio"
    timeout = 120

    def setup(self):
        common.check_unit()
        levels, ratios = common.batch_pairs()
        laws = common.batch()
        x = common.batch_points(laws)
        self.calls = {
            "batch": lambda: common.batch().pdf(x),
            "eigvalsh": common.sample_eigenvalues,
            "one by one": lambda: [
                common.package().sample_covariance(common.package().Spectrum(levels[i]), ratios[i]).pdf(x[i])
                for i in range(0, common.BATCH, 10)
            ],
        }
        together, alone = self.calls["batch"](), self.calls["one by one"]()
        peak = together.max(axis=1)[::10]
        np.testing.assert_allclose(
            together[::10] / peak[:, None], np.array(alone) / peak[:, None], atol=1e-12
        )

    def track_over_eigvalsh(self):
        return over(self.calls, "batch", "eigvalsh")

    def track_over_one_by_one(self):
        """100 of the 1000 laws are timed one by one."""
        return over(self.calls, "batch", "one by one", 10.0)


class L3:
    """CK and NTK of three layers, their Gram matrix included, against the product of the inputs alone."""

    params = [["relu", "tanh"], ["one norm", "unequal"], [64, 784]]
    param_names = ["activation", "norms", "d"]
    unit = "ratio"
    timeout = 120

    def setup(self, activation, norms, d):
        x, fh = common.kernel_inputs(norms, d), common.package()
        common.settle_allocator()
        self.calls = {"kernels": lambda: common.kernels(fh, x, activation), "product": lambda: x @ x.T}

    def track_over_product(self, activation, norms, d):
        return over(self.calls, "kernels", "product")


class L4:
    """Ten activations against Gauss-Hermite sums of 200 nodes, which are good to 1e-3 where there is a kink."""

    unit = "ratio"

    def setup(self):
        fh = common.package()
        t, w = np.polynomial.hermite_e.hermegauss(200)
        acts = [fh.activation(name) for name in common.L4_ACTIVATIONS]

        def sums():
            h = np.empty((51, t.size))
            h[0], h[1] = 1.0, t
            for k in range(1, 50):
                h[k + 1] = (t * h[k] - np.sqrt(k) * h[k - 1]) / np.sqrt(k + 1)
            return [(h * w) @ act(t) / np.sqrt(2 * np.pi) for act in acts]

        self.calls = {"fasthde": lambda: common.hermite_table(fh), "sums": sums}
        for name, mine, theirs in zip(
            common.L4_ACTIVATIONS, *(call() for call in self.calls.values()), strict=True
        ):
            if not fh.activation(name).kinks.size:
                np.testing.assert_allclose(theirs[:8], mine[:8], atol=1e-8)

    def track_over_gauss_hermite(self):
        return over(self.calls, "fasthde", "sums")
