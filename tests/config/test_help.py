from ksim_cli.config.help import COMMANDS, command_help, list_text, main_help


def test_every_command_is_in_the_help_and_has_its_own():
    text = main_help()
    for name in COMMANDS:
        assert name in text
    for name in ("train", "eval", "view", "collect"):
        assert command_help(name).startswith(f"ksim {name}: ")


def test_the_list_may_be_narrowed(project):
    assert list_text(["engine"]).splitlines()[0] == "engine:"
    assert "task:" not in list_text(["engine"])
    assert "task:" in list_text([])
