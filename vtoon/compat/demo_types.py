"""What VToonify's demo offers: its style types, how many frames it takes, how many at once."""

from __future__ import annotations

import difflib
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.weights.hub import find_published

STYLE_TYPES = {  # name: (file in VToonify's layout, style id). Without -d the file draws one degree, 0.5.
    "cartoon1": ("vtoonify_d_cartoon/vtoonify_s026_d0.5.pt", 26),
    "cartoon1-d": ("vtoonify_d_cartoon/vtoonify_s_d.pt", 26),
    "cartoon2-d": ("vtoonify_d_cartoon/vtoonify_s_d.pt", 64),
    "cartoon3-d": ("vtoonify_d_cartoon/vtoonify_s_d.pt", 153),
    "cartoon4": ("vtoonify_d_cartoon/vtoonify_s299_d0.5.pt", 299),
    "cartoon4-d": ("vtoonify_d_cartoon/vtoonify_s_d.pt", 299),
    "cartoon5-d": ("vtoonify_d_cartoon/vtoonify_s_d.pt", 8),
    "comic1-d": ("vtoonify_d_comic/vtoonify_s_d.pt", 28),
    "comic2-d": ("vtoonify_d_comic/vtoonify_s_d.pt", 18),
    "arcane1": ("vtoonify_d_arcane/vtoonify_s000_d0.5.pt", 0),
    "arcane1-d": ("vtoonify_d_arcane/vtoonify_s_d.pt", 0),
    "arcane2": ("vtoonify_d_arcane/vtoonify_s077_d0.5.pt", 77),
    "arcane2-d": ("vtoonify_d_arcane/vtoonify_s_d.pt", 77),
    "caricature1": ("vtoonify_d_caricature/vtoonify_s039_d0.5.pt", 39),
    "caricature2": ("vtoonify_d_caricature/vtoonify_s068_d0.5.pt", 68),
    "pixar": ("vtoonify_d_pixar/vtoonify_s052_d0.5.pt", 52),
    "pixar-d": ("vtoonify_d_pixar/vtoonify_s_d.pt", 52),
    "illustration1-d": ("vtoonify_d_illustration/vtoonify_s054_d_c.pt", 54),  # _c: in the colours of the style
    "illustration2-d": ("vtoonify_d_illustration/vtoonify_s004_d_c.pt", 4),
    "illustration3-d": ("vtoonify_d_illustration/vtoonify_s009_d_c.pt", 9),
    "illustration4-d": ("vtoonify_d_illustration/vtoonify_s043_d_c.pt", 43),
    "illustration5-d": ("vtoonify_d_illustration/vtoonify_s086_d_c.pt", 86),
}
FIRST_TYPE = "cartoon1"  # reads faces until a model is loaded, as the demo starts with it
CPU_FRAMES, GPU_FRAMES = 100, 300  # of a video; the rest is left out


def find_type(style_type: str) -> tuple[Path, int]:
    """The file of a style type and its style id. Raises VtoonError where either does not exist; nothing is fetched."""
    if style_type not in STYLE_TYPES:
        near = difflib.get_close_matches(str(style_type), STYLE_TYPES, n=3, cutoff=0.4) or list(STYLE_TYPES)[:3]
        raise VtoonError(f"style type {style_type!r} does not exist: did you mean {', '.join(near)}? (Step 1)")
    name, style_id = STYLE_TYPES[style_type]
    return find_published(name), style_id


def auto_batch(height: int, width: int, on_cpu: bool) -> int:
    """Frames of this size, px, that the demo draws at once."""
    if on_cpu:
        return max(1, int(4 * 256**2 / (width * height)))
    return min(max(1, int(4 * 400 * 360 / (width * height))), 4)
