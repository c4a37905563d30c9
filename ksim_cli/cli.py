"""`ksim`: finds the command. Standard library only until a command really runs."""

import sys

from ksim_cli import __version__
from ksim_cli.config import help as texts
from ksim_cli.config.looking import LOOKING
from ksim_cli.config.options import list_options
from ksim_cli.errors import UserError, listing, nearest, of_a_disk
from ksim_cli.registry import KINDS


def main(arguments: list[str] | None = None) -> int:
    """The console script; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except UserError as error:
        print(f"ksim: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except OSError as error:
        if (message := of_a_disk(error)) is None:
            raise
        print(f"ksim: {message}", file=sys.stderr)
        return 2


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(texts.main_help())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"ksim {__version__}")
        return 0
    command, *rest = arguments
    if command not in texts.COMMANDS:
        raise UserError(
            f"no command '{command}'.{nearest(command, texts.COMMANDS)}"
            f"\n  commands: {', '.join(texts.COMMANDS)}"
        )
    if command == "list":
        return _list(rest)
    if "-h" in rest or "--help" in rest:
        of_task = any(each.partition("=")[0] in ("task", "experiment") for each in rest)
        if command in LOOKING or not of_task:
            print(texts.command_help(command))
            return 0
        from ksim_cli.commands import show_help

        return show_help(command, [each for each in rest if each not in ("-h", "--help")])
    from ksim_cli.commands import run_command

    return run_command(command, rest)


def _list(names: list[str]) -> int:
    if "-h" in names or "--help" in names:
        print(
            "ksim list [NAME ...]: the options of every group, or of some; with a NAME also the"
            f" types that can stand in that section\n  names: {listing(list_options())},"
            f" {listing(texts.TERMS_ONLY)}"
        )
        return 0
    known = [*list_options(), *texts.TERMS_ONLY]
    for name in names:
        if name not in known:
            raise UserError(f"no group '{name}'.{nearest(name, known)} Groups: {listing(known)}")
    text = texts.list_text([name for name in names if name not in texts.TERMS_ONLY])
    if not names or any(name in list_options() for name in names):
        print(text)
    if any(name in KINDS for name in names):
        from ksim_cli.commands import list_types

        print(list_types(names), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
