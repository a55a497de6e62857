"""``python -m peerage`` is the command ``peerage``."""

import sys

from peerage.cli import main

if __name__ == "__main__":
    sys.exit(main())
