"""Records: frozen, equal by content, copied, pickled, saved; RidgeResult."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle

import numpy as np
import pytest

import fasthde as fh
from fasthde._results import write_aside

H = fh.Spectrum([3.0, 1.0, 0.0], [100, 200.5, 50])
PLAIN = fh.LinearProblem(H, [1.0, 2.0, 3.0], 0.1)
ELLIPTICAL = fh.LinearProblem(H, 1.0, [0.1, 0.3], norms=[0.5, 1.5], norm_weights=[1, 3])
TARGETS = fh.LinearProblem(H, np.ones((3, 2)), [0.1, 0.2])


def _records():
    grid = [200.0, 300.5, np.nan], [[0.0], [0.1]]
    return {
        "spectrum": H,
        "measure": fh.Spectrum([1.0, 2.0], weights=[1, 2]),
        "single level": fh.Spectrum.isotropic(10),
        "plain": PLAIN,
        "elliptical": ELLIPTICAL,
        "targets": TARGETS,
        "scalar result": fh.ridge(PLAIN, 200.0, 0.1),
        "divergent result": fh.ridge(PLAIN, 300.5, 0.0),
        "array result": fh.ridge(ELLIPTICAL, *grid),
        "result of targets": fh.ridge(TARGETS, *grid),
        "optimum": fh.optimal_ridge(PLAIN, [200.0, 400.0]),
        "empty result": fh.ridge(PLAIN, [], 0.1),
    }


@pytest.fixture(scope="module")
def records():
    return _records()


NAMES = [
    "spectrum", "measure", "single level", "plain", "elliptical", "targets", "scalar result", "divergent result",
    "array result", "result of targets", "optimum", "empty result",
]  # fmt: skip


def _same_kind(a, b):
    """Same types and dtypes field by field, so that a restored object can be used like the original."""
    for name in type(a)._names():
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray):
            assert isinstance(y, np.ndarray), name
            assert (x.dtype, x.shape) == (y.dtype, y.shape), name
            assert not y.flags.writeable, name
        elif isinstance(x, fh.Spectrum):
            _same_kind(x, y)
        else:
            assert isinstance(y, type(x)), name


@pytest.mark.parametrize("name", NAMES)
def test_equal_by_content(records, name):
    record = records[name]
    assert record == _records()[name]
    assert (record != _records()[name]) is False
    for other in NAMES:
        assert (record == records[other]) == (other == name)
    assert record != 3
    assert record != "record"
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_one_changed_entry_is_seen():
    assert fh.Spectrum([1, 2]) != fh.Spectrum([1, 2.0000000000000004])
    assert fh.Spectrum([1, 2]) != fh.Spectrum([2, 1])
    assert fh.Spectrum([1, 1]) != fh.Spectrum([1], [2])
    assert fh.LinearProblem(H, [1.0, 2.0, 3.0], 0.2) != PLAIN
    assert fh.ridge(PLAIN, 200.0, 0.1) != fh.ridge(PLAIN, [200.0], 0.1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy, *(lambda r, p=p: pickle.loads(pickle.dumps(r, p)) for p in range(2, 6))],
)
def test_copies_and_pickles(records, name, clone):
    twin = clone(records[name])
    assert type(twin) is type(records[name])
    assert twin == records[name]
    assert repr(twin) == repr(records[name])
    _same_kind(records[name], twin)


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load(records, name, tmp_path):
    record = records[name]
    path = tmp_path / "record.npz"
    record.save(path)
    twin = type(record).load(str(path))
    assert twin == record
    assert repr(twin) == repr(record)
    _same_kind(record, twin)
    twin.save(path)  # replaces
    assert type(record).load(path) == record
    assert os.listdir(tmp_path) == ["record.npz"]


@pytest.mark.parametrize("problem", [PLAIN, ELLIPTICAL, TARGETS])
def test_restored_problems_compute(problem, tmp_path):
    problem.save(tmp_path / "p")
    want = fh.ridge(problem, [100.0, 400.0], 0.1)
    for twin in (
        fh.LinearProblem.load(tmp_path / "p"),
        pickle.loads(pickle.dumps(problem)),
        copy.deepcopy(problem),
    ):
        assert fh.ridge(twin, [100.0, 400.0], 0.1) == want


def test_restored_results_have_methods(tmp_path):
    r = fh.ridge(PLAIN, 200.0, 0.1)
    r.save(tmp_path / "r.npz")
    twin = fh.RidgeResult.load(tmp_path / "r.npz")
    np.testing.assert_array_equal(twin.learnability(), r.learnability())
    assert twin.success is True
    assert twin.status.name == "CONVERGED"


@pytest.mark.parametrize("name", NAMES)
def test_frozen(records, name):
    record = records[name]
    for field in dataclasses.fields(record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(record, field.name)
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray) and value.size:
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        record.other = 1
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize(
    ("saved", "wanted"), [(H, fh.LinearProblem), (PLAIN, fh.RidgeResult), (PLAIN, fh.Spectrum)]
)
def test_loading_the_wrong_class(saved, wanted, tmp_path):
    path = tmp_path / "x.npz"
    saved.save(path)
    with pytest.raises(
        ValueError, match=f"must hold a {wanted.__name__}; .*x.npz holds {type(saved).__name__}"
    ):
        wanted.load(path)


def test_loading_a_foreign_npz(tmp_path):
    np.savez(tmp_path / "a.npz", values=np.ones(3))
    with pytest.raises(ValueError, match="nothing of fasthde"):
        fh.Spectrum.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        fh.Spectrum.load(tmp_path / "b.npz")


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_keeps_the_old_file(monkeypatch, tmp_path, failure):
    path = tmp_path / "h.npz"
    H.save(path)

    def broken(stream, **arrays):
        stream.write(b"half of it")
        raise failure

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(type(failure)):
        PLAIN.save(path)
    monkeypatch.undo()
    assert fh.Spectrum.load(path) == H
    assert os.listdir(tmp_path) == ["h.npz"]


def test_write_aside_keeps_the_mode(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    write_aside(new, lambda stream: stream.write(b"x"))
    umask = os.umask(0)
    os.umask(umask)
    assert new.stat().st_mode & 0o777 == 0o666 & ~umask
    old.write_bytes(b"y")
    old.chmod(0o640)
    write_aside(old, lambda stream: stream.write(b"x"))
    assert old.stat().st_mode & 0o777 == 0o640
    assert old.read_bytes() == b"x"


def test_saving_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        H.save(tmp_path / "no" / "h.npz")


def test_ridge_result_repr(records):
    text = repr(records["array result"])
    assert text.startswith("RidgeResult, shape (2, 3), ")
    assert "INVALID" in text
    for name in ("test", "kappa", "df2", "lam"):
        assert f"\n  {name} " in text
    assert repr(records["scalar result"]).startswith("RidgeResult, shape (), CONVERGED\n  test")
    assert "DIVERGES" in repr(records["divergent result"])


def test_status_and_success(records):
    assert [s.name for s in fh.Status] == ["CONVERGED", "NOT_CONVERGED", "INVALID", "DIVERGES", "BOUNDARY"]
    from fasthde._kernels import ridge

    for name in ("CONVERGED", "NOT_CONVERGED", "INVALID", "DIVERGES"):
        assert getattr(ridge, name) == fh.Status[name]
    r = records["array result"]
    np.testing.assert_array_equal(r.success, [[True, True, False]] * 2)
    assert records["divergent result"].success is True
    for status, good in zip(fh.Status, [True, False, False, True, True], strict=True):
        fields = {
            f.name: getattr(records["scalar result"], f.name) for f in dataclasses.fields(fh.RidgeResult)
        }
        assert fh.RidgeResult(**{**fields, "status": status}).success is good


def test_saving_through_a_link_keeps_the_link(tmp_path):
    H = fh.Spectrum([1.0, 2.0])
    (tmp_path / "real.npz").write_bytes(b"old")
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    H.save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert fh.Spectrum.load(tmp_path / "real.npz") == H


def test_special_files_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="regular file"):
            fh.Spectrum([1.0]).save(place)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(FileNotFoundError, match="folder of"):
        fh.Spectrum([1.0]).save(tmp_path / "absent" / "x.npz")


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 truncated"])
def test_what_cannot_be_loaded(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match="must hold a Spectrum"):
        fh.Spectrum.load(tmp_path / "x.npz")
