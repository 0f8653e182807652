#!/usr/bin/env python
"""Train a VToonify-D; see `--help` and docs/train.md."""

from vtoon.cli.train_vtoonify import TrainD, main

if __name__ == "__main__":
    main(TrainD)
