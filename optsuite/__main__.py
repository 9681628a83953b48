"""python -m optsuite."""

import os
import sys

if __name__ == "__main__":
    # Python has put the current folder first, where a person's file may have the name of a library.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", os.getcwd())]
    from optsuite.cli.main import main

    main()
