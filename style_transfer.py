#!/usr/bin/env python
"""Stylize face videos and photos with VToonify's command line; see `--help`."""

from vtoon.cli.launcher import main

if __name__ == "__main__":
    main()
