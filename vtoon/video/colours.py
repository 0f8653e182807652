"""Colour tags of a stream (ITU-T H.273, as in ffmpeg); decoded picture -> RGB and RGB -> picture to encode."""

from __future__ import annotations

from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vtoon.video.hdr import HLG, PQ, ToneMap

UNSPECIFIED = 2
BT709, SMPTE170M, BT2020_NCL = 1, 6, 9
LIMITED, FULL = int(ColorRange.MPEG), int(ColorRange.JPEG)

# H.273 matrix coefficients -> the table swscale uses. What is not here (RGB, YCgCo, ...) needs no table of ours.
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_PRIMARIES = "- bt709 - - bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432"
_TRANSFERS = (
    "- bt709 - - gamma22 gamma28 smpte170m smpte240m linear log log-sqrt iec61966-2-4 bt1361 iec61966-2-1 "
    "bt2020-10 bt2020-12 smpte2084 smpte428 arib-std-b67"
)
_MATRICES = "gbr bt709 - - fcc bt470bg smpte170m smpte240m ycgco bt2020nc bt2020c smpte2085 - - ictcp"
_RANGES = "- tv pc"  # ffmpeg's words for limited (16..235) and full (0..255)
# Chroma at full resolution and exact rounding: a colour survives the way to RGB and back within 1 of 255.
_EXACT = int(Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT)


@dataclass(frozen=True)
class Colours:
    """What the numbers of a picture mean: code points of ITU-T H.273, 2 = unspecified; range 0 = unspecified."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    def __str__(self) -> str:
        """As ffmpeg prints it, for example "tv, bt709/bt709/iec61966-2-1": range, matrix/primaries/transfer."""
        pairs = (
            (_RANGES, self.range),
            (_MATRICES, self.matrix),
            (_PRIMARIES, self.primaries),
            (_TRANSFERS, self.transfer),
        )
        return "{}, {}/{}/{}".format(*(_name(words.split(), code) for words, code in pairs))

    @property
    def hdr(self) -> bool:
        """PQ (HDR10, Dolby Vision 8.1) or HLG."""
        return self.transfer in (PQ, HLG)

    @property
    def encodable(self) -> bool:
        """Whether RGB can be turned into YUV with these tags; RGB itself and exotic matrices cannot."""
        return self.matrix == UNSPECIFIED or self.matrix in _SWSCALE

    def completed(self, width: int, height: int) -> Colours:
        """With matrix and range filled in as players guess them: BT.709 from HD on, BT.601 below; limited range."""
        guess = BT709 if width >= 1280 or height > 576 else SMPTE170M
        if self.hdr:
            guess = BT2020_NCL
        return replace(self, matrix=self.matrix if self.matrix in _SWSCALE else guess, range=self.range or LIMITED)


def _name(names: list[str], code: int) -> str:
    return names[code] if code < len(names) and names[code] != "-" else "unknown"


UNTAGGED = Colours()
SDR = Colours(BT709, BT709, BT709, LIMITED)


def colours_of(frame: av.VideoFrame, context: av.VideoCodecContext) -> Colours:
    """Tags of a decoded picture; what it leaves open is taken from its stream."""
    if frame.format.is_rgb or frame.format.has_palette:
        return Colours(BT709, 13, 0, FULL)  # sRGB: GIF, PNG, screen recordings
    jpeg = frame.format.name.startswith("yuvj")

    def tag(name: str) -> int:
        own = int(getattr(frame, name, UNSPECIFIED))
        value = int(getattr(context, name)) if own == UNSPECIFIED else own
        return value if value > 0 else UNSPECIFIED  # 0 is reserved; as a matrix it means RGB, which this is not

    value_range = int(frame.color_range) or int(context.color_range)
    return Colours(tag("color_primaries"), tag("color_trc"), tag("colorspace"), FULL if jpeg else value_range)


class ToRGB:
    """Callable: decoded picture of any pixel format -> uint8 [height, width, 3] RGB, or with `alpha` [.., 4] RGBA.

    HDR is tone-mapped to BT.709.
    """

    def __init__(self, colours: Colours, width: int, height: int, alpha: bool = False) -> None:
        self._size = (width, height)  # a picture whose size changes on the way is scaled back to the first one's
        self._colours = colours.completed(width, height)
        self._reformat = VideoReformatter().reformat
        self._format = "gbrp16le" if colours.hdr else "rgba" if alpha else "rgb24"
        self._tone_map = ToneMap(colours.transfer, colours.primaries) if colours.hdr else None

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        rgb = self._reformat(
            picture,
            *self._size,
            format=self._format,
            src_colorspace=_SWSCALE[self._colours.matrix],
            src_color_range=FULL if picture.format.is_rgb else self._colours.range,
            dst_color_range=FULL,
            interpolation=_EXACT,
        ).to_ndarray()
        return self._tone_map(rgb) if self._tone_map else rgb


class FromRGB:
    """Callable: uint8 [H, W, 3] RGB or [H, W, 4] RGBA -> picture in the encoder's pixel format, H and W padded up to
    `multiple` px."""

    def __init__(self, colours: Colours, pix_fmt: str, multiple: int = 1) -> None:
        self._colours, self._pix_fmt, self._multiple = colours, pix_fmt, multiple
        self._reformat = VideoReformatter().reformat

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        height, width = image.shape[:2]
        below, right = -height % self._multiple, -width % self._multiple
        if below or right:
            image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        matrix = _SWSCALE[self._colours.matrix]
        picture = self._reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgba" if image.shape[2] == 4 else "rgb24"),
            format=self._pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL,
            dst_color_range=self._colours.range,
            interpolation=_EXACT,
        )
        if hasattr(picture, "color_trc"):  # ProRes takes these from the picture; PyAV before 15 has no such names
            picture.color_primaries, picture.color_trc = self._colours.primaries, self._colours.transfer
        return picture
