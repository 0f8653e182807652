#!/usr/bin/env python
"""Train a VToonify-T; see `--help` and docs/train.md."""

from vtoon.cli.train_vtoonify import TrainT, main

if __name__ == "__main__":
    main(TrainT)
