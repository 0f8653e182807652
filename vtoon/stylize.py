"""The public path of `StylizeOptions`, which scripts import from here; the code is in vtoon/pipeline."""

from vtoon.pipeline.stylize import Progress, StylizeOptions, Stylizer, Summary, load

__all__ = ["Progress", "StylizeOptions", "Stylizer", "Summary", "load"]
