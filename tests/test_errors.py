from ksim_cli.errors import listing, nearest


def test_the_nearest_name_is_proposed_and_a_far_one_is_not():
    assert nearest("humanod", ["humanoid", "cartpole"]) == " Did you mean 'humanoid'?"
    assert nearest("xyz", ["humanoid", "cartpole"]) == ""


def test_names_are_listed_in_order():
    assert listing({"b", "a"}) == "a, b"
    assert listing([]) == "(none)"
