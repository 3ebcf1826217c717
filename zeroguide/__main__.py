"""`python -m zeroguide`: the same command line as `zeroguide`."""

from __future__ import annotations

import sys

from zeroguide.cli import main

if __name__ == "__main__":
    sys.exit(main())
