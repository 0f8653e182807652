"""vtoon: face video stylization. `vtoon.load()` gives a Stylizer; `Model` is the class of VToonify's demo."""

__version__ = "0.1.0"  # here alone: pyproject.toml reads it
__all__ = ["Model", "Stylizer", "VtoonError", "load"]

TYPE_CHECKING = False  # type checkers take it for true; typing itself need not be imported
if TYPE_CHECKING:
    from vtoon.compat.demo_model import Model
    from vtoon.errors import VtoonError
    from vtoon.pipeline.stylize import Stylizer, load


def __getattr__(name: str):
    """The public names are imported when they are asked for: `import vtoon` alone stays quick."""
    if name in ("Stylizer", "load"):
        from vtoon.pipeline import stylize

        return getattr(stylize, name)
    if name == "Model":
        from vtoon.compat.demo_model import Model

        return Model
    if name == "VtoonError":
        from vtoon.errors import VtoonError

        return VtoonError
    raise AttributeError(f"module 'vtoon' has no attribute {name!r}")
