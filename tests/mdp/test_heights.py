from dataclasses import dataclass

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.heights import HeightTerm
from tests.legged import bound, posed, view_of

LIFTED = [0, 0, 3.0, 1, 0, 0, 0, 0, 1.0, 0, 0]


@dataclass(frozen=True, kw_only=True)
class Height(HeightTerm):
    """The mixin alone."""


def test_heights_count_from_the_world_or_from_the_lowest_of_some_things():
    for above, wanted in (((), 3.0), (("*_foot",), 0.48), (("left_sole", "right_sole"), 0.5)):
        term, model = bound(Height(above=above))
        got = term.height_now(view_of(posed(model, LIFTED)))
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_what_is_neither_body_nor_site_is_refused():
    with pytest.raises(UserError, match="no site or body 'toes'"):
        bound(Height(above=("toes",)))
