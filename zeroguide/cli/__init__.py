"""The command line: one file a command, `app` joins them.

`options` are the flags that several share, `running` and `run_progress` what is said meanwhile.
"""

from zeroguide.cli.app import app, main

__all__ = ["app", "main"]
