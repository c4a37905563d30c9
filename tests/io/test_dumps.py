import contextlib
import io
import random
import zipfile

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.dumps import Dump, read_dump, write_dump


def arrays(**changed):
    steps = {"action": np.zeros((4, 1)), "view/qpos": np.arange(8.0).reshape(4, 2)}
    steps["view/qvel"] = np.full((4, 2), np.nan)
    return {**steps, "step": 2, "env": 3, "iteration": 7, **changed}


def test_what_was_written_is_read(tmp_path):
    path = write_dump(tmp_path / "dumps", Dump("rewards.up", arrays()))
    assert path == tmp_path / "dumps" / "rewards.up.npz"
    dump = read_dump(path)
    assert (dump.at_fault, dump.step, dump.arrays["env"]) == ("rewards.up", 2, 3)
    assert dump.steps("view/qpos").tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.isnan(dump.steps("view/qvel")).all()


def test_a_dump_of_before_a_resume_stays(tmp_path):
    first = write_dump(tmp_path, Dump("rewards.up-2", arrays()))
    second = write_dump(tmp_path, Dump("rewards.up-2", arrays(iteration=9, env=1)))
    assert (first.name, second.name) == ("rewards.up-2.npz", "rewards.up-2-9.npz")
    assert [read_dump(path).arrays["env"] for path in (first, second)] == [3, 1]
    assert read_dump(first).at_fault == read_dump(second).at_fault == "rewards.up-2"
    assert write_dump(tmp_path, Dump("rewards.up-2", arrays(iteration=9))) == second


def without_qpos():
    return {name: array for name, array in arrays().items() if name != "view/qpos"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without_qpos(), "it lacks view/qpos"),
        (arrays(step=4), "it has no step 4"),
        (arrays(step=-1), "it has no step -1"),
        (arrays(action=np.zeros((2, 1))), "it has no step 2"),
        (arrays(step=np.zeros(3)), "cannot be read"),
        (arrays(action=np.array([print] * 4)), "cannot be read"),  # would be unpickled
        (arrays(**{"view/qvel": np.zeros(4)}), "its view/qvel is float64 of 1 dimensions"),
        (arrays(**{"reward/up": np.zeros((4, 2))}), "its reward/up is float64 of 2 dimensions"),
        (arrays(**{"obs/actor": np.array(["text"] * 4)}), "its obs/actor is <U4"),
        (b"PK and nothing", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_what_is_no_dump_is_refused(tmp_path, content, message):
    path = tmp_path / "physics.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(UserError, match=message):
        read_dump(path)
    with pytest.raises(UserError, match="no such file"):
        read_dump(tmp_path)


def test_random_damage_is_one_message(tmp_path):
    rng, path = random.Random(0), write_dump(tmp_path, Dump("x", arrays()))
    whole = path.read_bytes()
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            read_dump(path)


def test_a_header_that_claims_terabytes_is_one_message(tmp_path):
    path = write_dump(tmp_path, Dump("x", without_qpos()))
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 2)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("view/qpos.npy", header.getvalue())
    with pytest.raises(UserError, match="cannot be read"):
        read_dump(path)
