"""python -m optsuite."""

import os
import sys

if __name__ == "__main__":
    # Python searches the current folder first, where a user's file may have a library's name.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", os.getcwd())]
    from optsuite.cli.main import main

    main()
