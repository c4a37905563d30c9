import dataclasses

import pytest

from ksim_cli.config.components import COMPONENTS, ActorCriticConfig, JointMetadata, LoggerConfig
from ksim_cli.option import refusal

SCHEMAS = {schema for options in COMPONENTS.values() for schema in options.values()}


@pytest.mark.parametrize(
    "schema", sorted({*SCHEMAS, JointMetadata, LoggerConfig}, key=lambda s: s.__name__)
)
def test_every_default_is_a_value_that_is_allowed(schema):
    section = schema()
    refused = {f.name: refusal(f, getattr(section, f.name)) for f in dataclasses.fields(schema)}
    assert {name: why for name, why in refused.items() if why} == {}


@pytest.mark.parametrize("group", sorted(COMPONENTS))
def test_a_schema_alone_chooses_an_option_of_its_group(group):
    for schema in COMPONENTS[group].values():
        assert schema().type in COMPONENTS[group]


def test_every_network_has_the_keys_of_all_networks():
    shared = {field.name for field in dataclasses.fields(ActorCriticConfig)}
    for name, schema in COMPONENTS["model"].items():
        assert shared <= {field.name for field in dataclasses.fields(schema)}
        assert schema().type == name
