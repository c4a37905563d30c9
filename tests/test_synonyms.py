import pytest

from ksim_cli import mdp, registry
from ksim_cli.errors import UserError
from ksim_cli.synonyms import SYNONYMS, suggestion

mdp.register_terms()
KINDS = {each.kind: each for each in registry.KINDS.values()}


def test_every_synonym_is_of_a_kind_and_means_a_registered_name():
    for kind, names in SYNONYMS.items():
        assert set(names.values()) <= set(KINDS[kind].names()), kind
        assert not set(names) & set(KINDS[kind].names()), f"{kind}: is a name of ours"


@pytest.mark.parametrize("kind", SYNONYMS)
def test_each_is_suggested_where_the_name_is_looked_up(kind):
    for name, ours in SYNONYMS[kind].items():
        with pytest.raises(UserError, match=f"no {kind} '{name}'. Did you mean '{ours}'?"):
            KINDS[kind].get(name, "x.type")


def test_without_a_synonym_the_nearest_name_is_suggested():
    assert suggestion("reward", "uprigt", ["upright"]) == " Did you mean 'upright'?"
    assert suggestion("reward", "action_rate", ["upright"]) == "", "ours is not there"
    assert suggestion("engine", "mjxx", ["mjx"]) == " Did you mean 'mjx'?"
