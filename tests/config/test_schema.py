import dataclasses
from collections import Counter

import pytest

from ksim_cli.config.schema import SECTIONS, RunConfig
from ksim_cli.option import refusal


def test_no_key_stands_in_two_sections():
    # Of two with one name the dataclass would keep one, and the other would do nothing.
    names = Counter(field.name for section in SECTIONS for field in dataclasses.fields(section))
    assert [name for name, count in names.items() if count > 1] == []
    assert set(names) == {field.name for field in dataclasses.fields(RunConfig)}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_default_is_a_value_that_is_allowed(section):
    config = section()
    refused = {
        field.name: refusal(field, getattr(config, field.name))
        for field in dataclasses.fields(section)
    }
    assert {name: why for name, why in refused.items() if why} == {}


def test_runs_share_no_table():
    one, two = RunConfig(), RunConfig()
    one.rewards["alive"] = {"type": "stay_alive"}
    assert two.rewards == {} and one.plot_figsize is not two.plot_figsize
