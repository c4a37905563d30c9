import h5py
import numpy as np
import pytest

from ksim_cli import hdf5
from ksim_cli.hdf5 import read_arrays, read_names, write_arrays


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "x.h5"
    write_arrays(path, {"a": np.arange(3.0), "names": np.array(["hip", "größe"])})
    arrays = read_arrays(path)
    assert arrays["a"].tolist() == [0.0, 1.0, 2.0]
    assert arrays["names"].tolist() == ["hip", "größe"]
    assert read_names(path) == ["a", "names"]


def test_a_group_is_read_with_what_is_below_it(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["one/deep/x"], file["two/x"] = np.ones(2), np.zeros(2)
        file["one/text"] = "said"
    arrays = read_arrays(tmp_path / "x.h5", "one")
    assert sorted(arrays) == ["deep/x", "text"] and str(arrays["text"]) == "said"
    with pytest.raises(ValueError, match="no group three"):
        read_arrays(tmp_path / "x.h5", "three")


def test_what_leads_into_other_files_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8))
    write_arrays(tmp_path / "other.h5", {"x": np.ones(1)})
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "/")
        raw = [(str(tmp_path / "secret"), 0, 8)]
        file.create_dataset("raw", (8,), np.uint8, external=raw)
        file["own"] = np.ones(1)
    assert list(read_arrays(tmp_path / "x.h5")) == ["own"]
    with pytest.raises(ValueError, match="no group linked"):
        read_arrays(tmp_path / "x.h5", "linked")


def test_what_unfolds_to_too_much_is_not_unfolded(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (10**6,), np.uint8, compression="gzip")
    monkeypatch.setattr(hdf5, "MOST_BYTES", 10**5)
    with pytest.raises(ValueError, match="more than 100000 bytes"):
        read_arrays(tmp_path / "x.h5")


@pytest.mark.parametrize("content", [b"no HDF5", b"", None])
def test_what_is_none_is_one_kind_of_error(tmp_path, content):
    if content is not None:
        (tmp_path / "x.h5").write_bytes(content)
    for read in (read_arrays, read_names):
        with pytest.raises(ValueError, match=r"\S"):
            read(tmp_path / "x.h5")
