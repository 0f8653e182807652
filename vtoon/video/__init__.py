"""Video in and out on PyAV: upright RGB frames with exact times, sound and subtitles passed through, flat memory."""

from vtoon.video.info import MediaInfo, probe, sniff_kind
from vtoon.video.reader import VideoReader
from vtoon.video.writer import VideoWriter

__all__ = ["MediaInfo", "VideoReader", "VideoWriter", "probe", "sniff_kind"]
