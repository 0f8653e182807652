"""Pixels: the only conversion between uint8 [H, W, 3] and [-1, 1] tensors, Lab, image files, preview grids."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vtoon.errors import VtoonError
from vtoon.system.pictures import opened_image
from vtoon.system.target import Target
from vtoon.types import over_black

log = logging.getLogger("vtoon")
ORIENTATION = 274  # EXIF
LUMA = (0.299, 0.587, 0.114)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
PHOTO_SUFFIXES = (*IMAGE_SUFFIXES, ".heic", ".heif", ".avif")  # are read, too
REMOVED = "removed"  # folder of pictures that were sorted out by hand


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 [H, W, 3] or [N, H, W, 3] RGB -> float32 [N, 3, H, W] in [-1, 1] (N = 1 for one image)."""
    x = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    x = x[None] if x.ndim == 3 else x
    return x.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_uint8(x: torch.Tensor, rounding: bool = True) -> np.ndarray:
    """[N, 3, H, W] in [-1, 1] -> uint8 [N, H, W, 3]. `rounding=False` truncates, as the published VToonify does."""
    x = x.detach().clamp(-1, 1).add(1).mul(127.5)
    x = x.round_() if rounding else x
    return x.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def luma(x: torch.Tensor) -> torch.Tensor:
    """How light RGB looks (ITU-R BT.601): [N, 3, H, W] -> [N, H, W] of the same range."""
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(LUMA))


def to_lab(image: np.ndarray) -> np.ndarray:
    """uint8 RGB or float32 RGB in [0, 1], [H, W, 3] -> float32 Lab / 100: L in [0, 1], a and b about [-1, 1]."""
    unit = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image
    return cv2.cvtColor(unit, cv2.COLOR_RGB2LAB) / 100


def from_lab(lab: np.ndarray) -> np.ndarray:
    """The way back, to float32 RGB in [0, 1]."""
    return np.clip(cv2.cvtColor(np.ascontiguousarray(lab * 100, np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def mix(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    """a where t = 0, b where t = 1; a [H, W] `t` is spread over colour channels."""
    if isinstance(t, np.ndarray) and max(np.ndim(a), np.ndim(b)) == 3 and t.ndim == 2:
        t = t[..., None]
    return a + (b - a) * t


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones run on a smaller image, which looks the same and costs far less."""
    if sigma < 0.3:
        return image
    if sigma < 6:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    height, width = image.shape[:2]
    shrink = sigma / 3
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), 2.9)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def tensor(gray: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed structure tensor of float32 [H, W]: the direction of contours (x, y) and their coherence in [0, 1].

    Brox et al. 2006; used as the edge tangent flow of Kang et al. 2007 as in Kyprianidis and Döllner 2008.
    """
    dx, dy = (cv2.Scharr(gray, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    xx, xy, yy = (blur(product, sigma) for product in (dx * dx, dx * dy, dy * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    spread, trace = np.sqrt((xx - yy) ** 2 + 4 * xy * xy), xx + yy
    return np.cos(angle), np.sin(angle), spread / (trace + 1e-6)


def load_image(path: str | os.PathLike | io.BytesIO) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file, or one in memory, upright (EXIF rotation applied): uint8 [H, W, 3] RGB and alpha uint8 [H, W]
    or None.

    Raises VtoonError where the file is missing, empty or no image.
    """
    try:
        with opened_image(path) as file:
            if getattr(file, "n_frames", 1) > 1:
                log.warning("%s: holds %d pictures; the first is taken", path, file.n_frames)
            image = _by_profile(_eight_bits(ImageOps.exif_transpose(file)))
            alpha = None
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                alpha = np.array(image.getchannel("A"))
            return np.array(image.convert("RGB")), alpha
    except FileNotFoundError:
        raise VtoonError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise VtoonError(f"{path}: is a folder; give the pictures in it") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise VtoonError(f"{path}: not a readable image ({str(error).splitlines()[0]})") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of 16 bits, which Pillow would cut off at 255."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.array(image).clip(0, 65535) // 257).astype(np.uint8))


def image_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Image files of a folder and of those in it, by name, without what was sorted out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(path for path in found if REMOVED not in path.relative_to(folder).parts[:-1])


def as_image(image: object) -> np.ndarray:
    """A picture as a user may give it: a file, one of Pillow's, or uint8 [H, W, 3] RGB, which is returned.

    Raises VtoonError where it is none of these, or a file that is no readable image.
    """
    if isinstance(image, str | os.PathLike):
        return load_image(image)[0]
    if isinstance(image, Image.Image):
        return np.array(_eight_bits(image).convert("RGB"))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise VtoonError(f"a picture is uint8 [height, width, 3] in RGB, one of Pillow's, or a file, not {got}")
    return image


def about_image(path: str | os.PathLike) -> dict[str, object]:
    """What an image file tells of its RGB and of itself, as `save_image` takes it: ICC profile, dpi, EXIF.

    The profile of grays or inks says nothing of RGB: `load_image` has converted by it. EXIF (date, camera, place) is
    without the thumbnail, which shows the photo, and without the rotation, which is applied.
    """
    with opened_image(path) as file:
        about = {key: file.info[key] for key in ("icc_profile", "dpi") if file.info.get(key)}
        if not _profile_is_of(about.get("icc_profile", b""), "RGB "):
            about.pop("icc_profile", None)
        exif = file.getexif()
        exif.pop(ORIENTATION, None)
        return about | ({"exif": exif.tobytes()} if len(exif) else {})


def _profile_is_of(profile: bytes, space: str) -> bool:
    """Whether an ICC profile is of a colour space: "RGB ", "GRAY" or "CMYK" (ICC.1, 7.2.6)."""
    return profile[16:20] == space.encode()


def _by_profile(image: Image.Image) -> Image.Image:
    """Grays and inks in the colours that their profile gives them, in sRGB; without one, as Pillow takes them."""
    space = {"L": "GRAY", "LA": "GRAY", "CMYK": "CMYK"}.get(image.mode)
    profile = image.info.get("icc_profile") or b""
    if space is None or not _profile_is_of(profile, space):
        return image
    alpha = image.getchannel("A") if image.mode == "LA" else None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        plain = image.convert("L") if alpha else image
        converted = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted


def save_image(path: str | os.PathLike, image: np.ndarray, alpha: np.ndarray | None = None, **about: object) -> None:
    """Write uint8 [H, W, 3] RGB, complete or not at all; `about`: see `about_image`.

    PNG, WebP and TIFF keep `alpha`; elsewhere the picture is laid over black.
    """
    path = Path(path)
    keeps_alpha = path.suffix.lower() in (".png", ".webp", ".tif", ".tiff")
    if alpha is not None and not keeps_alpha and alpha.min() < 255:
        log.warning("%s: what is transparent becomes black: %s has no alpha", path, path.suffix)
        image = over_black(image, alpha)
    picture = Image.fromarray(image)
    if alpha is not None and keeps_alpha:
        picture.putalpha(Image.fromarray(alpha))
    options = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
    target = Target(path, overwrite=True)
    target.create()
    try:
        picture.save(target.part, **options, **about)
        target.commit()
    except (OSError, ValueError, KeyError) as error:
        raise VtoonError(f"{path}: cannot write the image ({error})") from None
    finally:
        target.discard()


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Contact sheet: rows of equally sized uint8 [H, W, 3] images, white gaps of `gap` px."""
    height, width = rows[0][0].shape[:2]
    columns = max(map(len, rows))
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = y * (height + gap), x * (width + gap)
            sheet[top : top + height, left : left + width] = image
    return sheet


def recolour(image: np.ndarray, table: np.ndarray, own: float) -> np.ndarray:
    """uint8 [H, W, 3] -> the same: `table` at each pixel's luminance plus `own` of the pixel's own chroma."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    base = cv2.LUT(gray, (table - own * np.arange(256, dtype=np.float32)[:, None])[None])
    return cv2.addWeighted(image, own, base, 1.0, 0.0, dtype=cv2.CV_8U)
