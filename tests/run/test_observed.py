import numpy as np

from ksim_cli.run.observed import constant_observations
from ksim_cli.run.sanity import Finding


def test_observations_that_never_change_are_named():
    before = {"actor": np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]])}
    after = {"actor": np.array([[1.0, 0.0, 2.0], [1.0, 0.5, 2.0]])}
    layout = {"actor": {"still": 1, "moves": 2}}
    assert constant_observations(before, after, layout) == [
        Finding("observations.still is always the same", "observations.still=null")
    ]
    # An observation of two groups is constant only where it is so in both.
    both = {"actor": {"x": 1}, "critic": {"x": 1}}
    obs = {"actor": np.zeros((2, 1)), "critic": np.array([[0.0], [1.0]])}
    assert constant_observations(obs, obs, both) == []
