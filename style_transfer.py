#!/usr/bin/env python
"""Stylize face videos and photos with VToonify's command line; see `--help`."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the seconds of importing, too, without a traceback
    from vtoon.cli.launcher import main

    main()
