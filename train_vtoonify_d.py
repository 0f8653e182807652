#!/usr/bin/env python
"""Train the built-in kind of model; see `--help` and docs/model-card.md."""

from vtoon.cli.train import main

if __name__ == "__main__":
    main()
