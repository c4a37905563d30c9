import numpy as np
import pytest

from ksim_cli import npz
from ksim_cli.npz import read_arrays


def test_what_was_saved_is_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(3), b=np.ones((2, 2)))
    arrays = read_arrays(tmp_path / "x.npz")
    assert arrays["a"].tolist() == [0, 1, 2] and arrays["b"].shape == (2, 2)


def _array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _objects(path):
    np.savez(path, x=np.array([{}], object))


def _cut(path):
    np.savez(path, x=np.random.default_rng(0).normal(size=1000))
    path.write_bytes(path.read_bytes()[:-300])


def _flipped(path):
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=1000))
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize(
    "write",
    [_array, _objects, _cut, _flipped, lambda path: path.write_bytes(b"no zip"), lambda path: None],
    ids=["an array alone", "objects", "cut off", "flipped", "other bytes", "nothing"],
)
def test_what_is_none_is_one_kind_of_error(tmp_path, write):
    write(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"\S"):
        read_arrays(tmp_path / "x.npz")


def test_what_unfolds_to_too_much_is_not_unfolded(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6))
    assert (tmp_path / "x.npz").stat().st_size < 20_000
    monkeypatch.setattr(npz, "MOST_BYTES", 10**6)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match="its arrays take 8000128 bytes"):
        read_arrays(tmp_path / "x.npz")
