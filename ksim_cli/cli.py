"""`ksim`: finds the command. Standard library only until a command really runs."""

import sys

from ksim_cli import __version__
from ksim_cli.errors import UserError, listing, nearest


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


def _dispatch(arguments: list[str]) -> int:
    from ksim_cli.config import help as texts

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
        print(texts.command_help(command))
        return 0
    from ksim_cli.commands import run_command

    return run_command(command, rest)


def _list(groups: list[str]) -> int:
    from ksim_cli.config import help as texts
    from ksim_cli.config.options import list_options

    if "-h" in groups or "--help" in groups:
        print("ksim list [group ...]: the options of every group, or of some")
        return 0
    known = list_options()
    for group in groups:
        if group not in known:
            raise UserError(f"no group '{group}'.{nearest(group, known)} Groups: {listing(known)}")
    print(texts.list_text(groups))
    return 0


if __name__ == "__main__":
    sys.exit(main())
