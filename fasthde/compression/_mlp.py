"""Trained perceptrons of scikit-learn, compressed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Status, freeze
from fasthde.activations import Activation, activation
from fasthde.compression._layers import Layers, level_counts, quantize_layer, size_text, stacked
from fasthde.compression._weights import TernaryWeights, sparsity_of, ternarize, weight_bits
from fasthde.networks._statistics import data

Array = NDArray[np.float64]

_SKLEARN = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


class _Moved:
    """t -> phi(t + shift), picklable."""

    __slots__ = ("phi", "shift")

    def __init__(self, phi: Activation, shift: float):
        self.phi, self.shift = phi, shift

    def __call__(self, t: Array) -> Array:
        return np.asarray(self.phi(t + self.shift))


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompressedMLP(Layers):
    """Trained perceptron with ternary weights and quantised activations; see `compress_mlp`.

    Attributes
    ----------
    names : ndarray of str, shape (L,)
        Activations of the original.
    thresholds, levels : ndarray, shape (L, k - 1) and (L, k)
        Step functions, means included; shorter rows are filled with inf and their last level.
    tau : ndarray, shape (L,)
        Measured standard deviation of the argument of each activation.
    mismatch : ndarray, shape (L, 5)
        As in `QuantizedActivation`.
    widths : ndarray of int, shape (L + 1,)
        Number of inputs, and widths of the hidden layers.
    signs : ndarray of int8
        Signs of all weights, matrix after matrix of shape (previous width, width).
    sizes : ndarray, shape (L,)
        Their magnitudes, one a layer.
    intercepts : ndarray
        Of all hidden units.
    readout, readout_intercept : ndarray, shape (width, outputs) and (outputs,)
        Last map.
    classes : ndarray or None
        Of a classifier.
    storage : str
        How ternary weights are stored.
    original_bits, bits : float
        Size of all parameters.
    status : ndarray of int, shape (L,)
        `Status` code of each layer, as in `QuantizedActivation`.
    """

    names: NDArray[np.str_]
    thresholds: Array
    levels: Array
    tau: Array
    mismatch: Array
    widths: NDArray[np.int64]
    signs: NDArray[np.int8]
    sizes: Array
    intercepts: Array
    readout: Array
    readout_intercept: Array
    classes: NDArray[Any] | None
    storage: str
    original_bits: float
    bits: float
    status: Any

    @property
    def success(self) -> bool:
        """Whether every layer matches."""
        return bool(np.all(np.asarray(self.status) == Status.CONVERGED))

    @property
    def sparsity(self) -> float:
        """Proportion of zeros among the ternary weights."""
        return float(np.mean(self.signs == 0))

    @property
    def weights(self) -> tuple[TernaryWeights, ...]:
        """Weights of the hidden layers, of shape (previous width, width)."""
        shapes = list(zip(self.widths[:-1].tolist(), self.widths[1:].tolist(), strict=True))
        parts = np.split(self.signs, np.cumsum([a * b for a, b in shapes])[:-1])
        rows = zip(parts, shapes, self.sizes, strict=True)
        return tuple(TernaryWeights(freeze(part.reshape(shape)), float(a)) for part, shape, a in rows)

    def features(self, X: ArrayLike) -> Array:
        """Last hidden layer.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray, shape (n_samples, width)
        """
        h = data("X", X)
        if h.shape[1] != self.widths[0]:
            raise ValueError(f"X must have {self.widths[0]} columns; got shape {h.shape}.")
        offsets = np.split(self.intercepts, np.cumsum(self.widths[1:])[:-1])
        for w, b, phi in zip(self.weights, offsets, self.activations, strict=True):
            h = phi(h @ w.matrix() + b)
        return h

    def decision_function(self, X: ArrayLike) -> Array:
        """Outputs of the network before a class is chosen.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray, shape (n_samples, outputs)
        """
        return np.asarray(self.features(X) @ self.readout + self.readout_intercept)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Classes, or values of a regressor.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray, shape (n_samples,), or (n_samples, outputs) of a regressor with several
        """
        out = self.decision_function(X)
        if self.classes is None:
            return out[:, 0] if out.shape[1] == 1 else out
        best = (out[:, 0] > 0).astype(int) if out.shape[1] == 1 else np.argmax(out, axis=1)
        return np.asarray(self.classes[best])

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Accuracy of a classifier, R**2 of a regressor.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs.
        y : array_like, shape (n_samples,)
            Targets.

        Returns
        -------
        float
        """
        target, found = np.asarray(y), self.predict(X)
        if target.shape != found.shape:
            raise ValueError(f"y must have shape {found.shape}; got {target.shape}.")
        if self.classes is not None:
            return float(np.mean(found == target))
        spread = np.sum((target - target.mean(axis=0)) ** 2, axis=0)
        return float(np.mean(1.0 - np.sum((target - found) ** 2, axis=0) / spread))

    def __repr__(self) -> str:
        widths = " - ".join(str(w) for w in [*self.widths, self.readout.shape[1]])
        good = "matched" if self.success else "not matched"
        rows = [f"CompressedMLP({widths}, sparsity {self.sparsity:.4g}, {good})", *self._table()]
        rows.append(
            f"  size {size_text(self.original_bits)} -> {size_text(self.bits)} ({self.storage}): "
            f"{self.ratio:.1f} times less"
        )
        return "\n".join(rows)


def compress_mlp(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    levels: Any = 3,
    sparsity: float = 0.9,
    readout: str | None = None,
    ridge_shift: bool = True,
    storage: str = "entropy",
    float_bits: int = 32,
) -> CompressedMLP:
    r"""Compress a trained perceptron of scikit-learn: ternary weights, quantised activations, a new last layer.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Fitted; anything with the attributes ``coefs_``, ``intercepts_``, ``activation`` and, of a classifier,
        ``classes_`` will do.
    X : array_like, shape (n_samples, n_features)
        Training inputs, on which scales are measured and the last layer is fitted.
    y : array_like, shape (n_samples,)
        Training targets.
    levels : int or sequence of int, optional
        Number of levels, for all hidden layers or one a layer.
    sparsity : float, optional
        Proportion of weights of each hidden layer to set to 0, in [0, 1).
    readout : {"logistic", "ridge", "keep"}, optional
        Last layer: logistic regression (needs scikit-learn; by default for a classifier), ridge regression with its
        ridge chosen by generalised cross-validation (by default for a regressor; a classifier fits indicators), or that
        of the model.
    ridge_shift : bool, optional
        As in `compress_network`.
    storage : {"entropy", "packed"}, optional
        Size of the ternary weights: what an arithmetic coder reaches, or five a byte.
    float_bits : int, optional
        Size of all other parameters.

    Returns
    -------
    CompressedMLP
        With ``predict``, ``decision_function``, ``score``, ``features``, ``bits``, ``original_bits`` and ``ratio``.

    Raises
    ------
    TypeError
        For a model of another kind.
    ValueError
        For a model that is not fitted, data that do not fit it, and values out of range.

    Notes
    -----
    Layer after layer: signs by `ternarize`, their size such that the inputs of the layer have the variance of the
    original's, on the average over its units; intercepts such that every unit's mean input is that of the original;
    then, with m and tau the mean and standard deviation of all inputs of the layer together, the step function of
    `quantize_activation` for ``t -> phi(m + t)`` at tau, its mean added. The theory speaks of random weights. Of
    trained ones this keeps scales and coefficients on the average over the units, no more: look at the accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPClassifier
    >>> from fasthde.compression import compress_mlp
    >>> X = np.random.default_rng(0).standard_normal((300, 20))
    >>> y = X[:, 0] + X[:, 1] > 0
    >>> model = MLPClassifier((100,), solver="lbfgs", max_iter=50, random_state=0).fit(X, y)
    >>> small = compress_mlp(model, X, y, sparsity=0.5, readout="ridge")
    >>> small.score(X, y) > 0.9, small.ratio > 5
    (True, True)
    """
    phi, coefs, intercepts = _perceptron(model)
    x = data("X", X)
    if x.shape[1] != coefs[0].shape[0]:
        raise ValueError(f"X must have {coefs[0].shape[0]} columns, as the model; got shape {x.shape}.")
    classes = getattr(model, "classes_", None)
    if readout is None:
        readout = "ridge" if classes is None else "logistic"
    if readout not in ("logistic", "ridge", "keep") or (readout == "logistic" and classes is None):
        raise ValueError(f'readout must be "logistic" (of a classifier), "ridge" or "keep"; got {readout!r}.')
    target = np.asarray(y)
    if target.shape[:1] != x.shape[:1] or (classes is not None and target.ndim != 1):
        raise ValueError(
            f"y must have one target for each of the {x.shape[0]} samples; got shape {target.shape}."
        )
    if classes is None:
        check.finite("y", check.real_array("y", target))
    else:
        there = np.unique(target)
        strange = [str(c) for c in there if c not in classes]
        if strange:
            raise ValueError(
                f"y must hold the model's classes, {', '.join(map(str, classes[:10]))}; "
                f"got {', '.join(strange[:5])}."
            )
        if readout == "logistic" and there.size < len(classes):
            raise ValueError(
                f"y must hold every class of the model for a logistic readout; {len(classes) - there.size} of "
                f'{len(classes)} are missing. Add samples, or use readout="ridge" or "keep".'
            )
    depth = len(coefs) - 1
    counts = level_counts(levels, depth)
    zeros = sparsity_of(sparsity)
    width = check.integer("float_bits", float_bits, 1)
    weight_bits(1, zeros, storage)

    h = small = x
    weights, offsets, quantized = [], [], []
    for row, (w, b, k) in enumerate(zip(coefs[:-1], intercepts[:-1], counts, strict=True)):
        ternary = ternarize(w, zeros)
        outer, inner = h @ w + b, small @ ternary.matrix()
        spread = [float(np.mean(np.var(z, axis=0))) for z in (outer, inner)]
        if not min(spread) > 1e-20 * float(np.mean(outer * outer)):
            raise ValueError(f"X must vary: the inputs of hidden layer {row + 1} of the model are constant.")
        ternary = dataclasses.replace(ternary, scale=ternary.scale * math.sqrt(spread[0] / spread[1]))
        inner = small @ ternary.matrix()
        offset = outer.mean(axis=0) - inner.mean(axis=0)
        inner += offset
        mean, tau = float(outer.mean()), float(outer.std())
        moved = activation(_Moved(phi, mean), kinks=(phi.kinks - mean).tolist(), name=phi.name)
        q = quantize_layer(moved, k, tau, tau, row == depth - 1, ridge_shift)
        q = dataclasses.replace(q, thresholds=freeze(q.thresholds + mean), levels=freeze(q.levels + q.mean))
        h, small = phi(outer), q.activation(inner)
        weights.append(ternary)
        offsets.append(offset)
        quantized.append(q)
    V, v = (coefs[-1], intercepts[-1]) if readout == "keep" else _readout(small, target, classes, readout)

    plain = sum(b.size for b in offsets) + V.size + v.size + sum(2 * k for k in counts)
    fields = {
        **{name: value for name, value in stacked(quantized).items() if name != "scale"},
        "widths": np.array([w.shape[0] for w in coefs]),
        "signs": np.concatenate([w.signs.ravel() for w in weights]),
        "sizes": np.array([w.scale for w in weights]),
        "intercepts": np.concatenate(offsets),
        "readout": V,
        "readout_intercept": v,
        "status": np.array([q.status for q in quantized]),
    }
    return CompressedMLP(
        **{name: freeze(value) for name, value in fields.items()},
        classes=None if classes is None else freeze(np.array(classes)),
        storage=storage,
        original_bits=float(width * sum(w.size for w in [*coefs, *intercepts])),
        bits=float(sum(weight_bits(w.signs.size, w.sparsity, storage) for w in weights) + width * plain),
    )


def _perceptron(model: Any) -> tuple[Activation, list[Array], list[Array]]:
    """Activation, weights and intercepts of a fitted model."""
    name = getattr(model, "activation", None)
    if name not in _SKLEARN:
        raise TypeError(
            f"model must be an MLPClassifier or MLPRegressor of scikit-learn; got {type(model).__name__}. "
            "Other networks: quantize_activation and ternarize, layer by layer."
        )
    if not hasattr(model, "coefs_"):
        raise ValueError(f"model must be fitted; call {type(model).__name__}.fit first.")
    coefs = [np.array(w, dtype=np.float64) for w in model.coefs_]
    return activation(_SKLEARN[name]), coefs, [np.array(b, dtype=np.float64) for b in model.intercepts_]


def _readout(F: Array, y: NDArray[Any], classes: Any, kind: str) -> tuple[Array, Array]:
    """Weights (features, outputs) and intercepts of a last layer."""
    if kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        spread = float(F.std()) * math.sqrt(F.shape[1])
        fit = LogisticRegression(C=0.1 * F.shape[0], max_iter=2000).fit(F / spread, y)
        return np.asarray(fit.coef_.T / spread), np.asarray(fit.intercept_)
    Y = y.reshape(y.shape[0], -1).astype(np.float64) if classes is None else _indicators(y, classes)
    mean, middle = F.mean(axis=0), Y.mean(axis=0)
    U, s, Vt = np.linalg.svd(F - mean, full_matrices=False)
    B = U.T @ (Y - middle)
    outside = float(np.sum((Y - middle) ** 2) - np.sum(B**2))
    best: tuple[float, Array] = (np.inf, s)
    for lam in s[0] ** 2 * np.logspace(-10.0, 0.0, 41):
        keep = s * s / (s * s + lam)
        freedom = 1.0 - (float(keep.sum()) + 1.0) / F.shape[0]
        misfit = max(outside, 0.0) + float(np.sum(((1.0 - keep)[:, None] * B) ** 2))
        if freedom > 1e-9 and misfit / freedom**2 < best[0]:
            best = misfit / freedom**2, s / (s * s + lam)
    W = np.asarray(Vt.T @ (best[1][:, None] * B))
    return W, np.asarray(middle - mean @ W)


def _indicators(y: NDArray[Any], classes: Any) -> Array:
    known = np.isin(y, classes)
    if not known.all():
        raise ValueError(f"y must hold the model's classes; got {y[~known][0]!r}.")
    return np.asarray(y[:, None] == np.asarray(classes)[None, :], dtype=np.float64)
