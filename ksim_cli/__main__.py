"""`python -m ksim_cli` is `ksim`."""

import sys

from ksim_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
