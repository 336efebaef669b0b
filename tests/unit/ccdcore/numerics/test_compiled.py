"""The cache of compiled code, and that nothing depends on it."""

import importlib.util
import os
import pkgutil
import resource
import subprocess
import sys
from importlib import import_module

import numba
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import ccdcore
from ccdcore.combining.combine_kernel import combine_integers
from ccdcore.flat_pairs.flat_pair_kernel import group_sums, neighbour_mean
from ccdcore.numerics.compiled import _Cache
from ccdcore.numerics.histogram_kernel import count_whole

SOURCE = """
from ccdcore.numerics.compiled import compiled

@compiled
def twice(x):
    return 2 * x
"""


def loaded(path):
    spec = importlib.util.spec_from_file_location("twice", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "twice.py"
    path.write_text(SOURCE)
    return path


def test_what_was_compiled_is_kept_for_other_processes(source, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert loaded(source).twice(2) == 4
    assert list((tmp_path / "cache").rglob("*.nbc.*"))
    again = loaded(source).twice
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1


def test_code_compiled_unseen_by_others_does_not_replace_theirs(source, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert loaded(source).twice(2) == 4
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    (code,) = (tmp_path / "cache").rglob("*.nbc.*")
    before = code.read_bytes()
    index.unlink()  # as it is for a process that looked before the other one made its entry
    assert loaded(source).twice(2.5) == 5
    assert code.read_bytes() == before
    assert len(list((tmp_path / "cache").rglob("*.nbc.*"))) == 2


def test_it_works_where_nothing_can_be_kept(source, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "/dev/null/cache")
    assert loaded(source).twice(2) == 4


COUNT = """
import numpy, resource
resource.setrlimit(resource.RLIMIT_FSIZE, {})
from ccdcore.numerics.histogram_kernel import count_values
print(count_values(numpy.zeros(3, "u2"), 0, 1)[0])
"""


def counting(cache, *, largest_file=resource.RLIM_INFINITY):
    """Start a process that counts three zeros, and keeps its compiled code in ``cache`` in files of a limited size."""
    return subprocess.Popen(
        [sys.executable, "-c", COUNT.format((largest_file, resource.RLIM_INFINITY))],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kept(cache):
    return [path for path in cache.rglob("*") if path.is_file()]


def test_processes_may_compile_at_the_same_time(tmp_path):
    for process in [counting(tmp_path) for _ in range(3)]:
        assert process.communicate() == (b"3\n", b"")
    assert any(path.suffix == ".nbi" for path in kept(tmp_path))
    assert any(".nbc." in path.name for path in kept(tmp_path))


def test_a_full_disk_does_no_harm(tmp_path):
    assert counting(tmp_path, largest_file=1000).communicate() == (b"3\n", b"")
    assert not any(path.stat().st_size > 1000 for path in kept(tmp_path))


def test_a_cache_that_was_cut_short_is_renewed(tmp_path):
    counting(tmp_path).communicate()
    for path in kept(tmp_path):
        os.truncate(path, 40)
    assert counting(tmp_path).communicate() == (b"3\n", b"")
    assert all(path.stat().st_size > 40 for path in kept(tmp_path) if path.suffix == ".nbi")


def test_all_loops_are_compiled_before_flow_runs_are_forked():
    import flows.orchestration.preload  # noqa: F401

    names = [one.name for one in pkgutil.walk_packages(ccdcore.__path__, "ccdcore.") if one.name.endswith("_kernel")]
    loops = [one for name in names for one in vars(import_module(name)).values() if is_kept(one)]
    assert len(names) > 3
    assert combine_integers in loops
    assert [one.py_func.__qualname__ for one in loops if not one.signatures] == []


def is_kept(something):
    return isinstance(getattr(something, "_cache", None), _Cache)


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint8, np.int32, ">u2", ">i2"])
def test_values_are_counted(kind):
    limits = np.iinfo(kind)
    low, high = max(limits.min, -(2**17)), min(limits.max, 2**17)
    data = np.random.default_rng(1).choice([low, -3 if low else 3, 0, 7, high], (7, 9)).astype(kind)
    values, counts = count_whole(data[:, ::2], low, high)
    expected = np.unique(data[:, ::2], return_counts=True)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(counts, expected[1])


@pytest.mark.parametrize("n_edges", [1, 2, 3, 8, 47])
def test_groups_are_those_of_searchsorted(n_edges):
    rng = np.random.default_rng(n_edges)
    keys, value, level, variance, dof = rng.random((5, 500)).astype(np.float32)
    edges = np.sort([*rng.random(n_edges - 1), keys[0]])
    group = np.searchsorted(edges, keys)
    weights = (None, dof, value**2, level * dof, variance * dof, variance**2 * dof)
    expected = [np.bincount(group, weight, minlength=n_edges + 1) for weight in weights]
    np.testing.assert_allclose(group_sums(keys, edges, value, level, variance, dof), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 9)])
def test_neighbours_are_those_of_a_mirrored_image(shape):
    image = np.random.default_rng(3).random(shape)
    np.testing.assert_allclose(neighbour_mean(image), (9 * uniform_filter(image, 3, mode="reflect") - image) / 8)
