"""Random damage to checkpoints; `nox -s faults` does more of it."""

from pathlib import Path

import pytest

from tests.corruptions import DAMAGES, NAMES, Random, attempts, make_store, overlooked


def test_random_damage_is_found_and_the_newest_good_step_taken(tmp_path: Path):
    for damaged, wrong in attempts(tmp_path, 20):
        assert not wrong, f"{damaged}: {wrong}"


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_kind_of_damage_is_found_in_each_file(tmp_path: Path, kind: str):
    for i, name in enumerate(NAMES):
        make_store(tmp_path / name)
        DAMAGES[kind](tmp_path / name / "00000008" / name, Random(i))
        assert not overlooked(tmp_path / name, {8: kind}), name


def test_a_store_that_is_whole_is_called_so_and_a_lie_is_noticed(tmp_path: Path):
    make_store(tmp_path)
    assert not overlooked(tmp_path, {})
    assert overlooked(tmp_path, {8: "nothing"}) == "took step 8"
    assert overlooked(tmp_path, {3: "nothing"}) == "step 3 is called good"
