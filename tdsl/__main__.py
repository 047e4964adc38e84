"""`python -m tdsl` is the command line."""

import sys

from tdsl.cli import main

sys.exit(main())
