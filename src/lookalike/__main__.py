"""``python -m lookalike``."""

import os
import sys

# Python looks for every module in the current folder first, where a stranger's files may lie.
if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109
    del sys.path[0]

from lookalike.cli import main

if __name__ == "__main__":
    main()
