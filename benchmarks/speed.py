"""Speed on the demo clip; the same as `vtoon bench`. See `python benchmarks/speed.py --help`."""

from __future__ import annotations

import tyro

from vtoon.cli.bench import Bench

if __name__ == "__main__":
    tyro.cli(Bench, use_underscores=True, config=(tyro.conf.OmitArgPrefixes,)).run()
