"""Picture files: upright, 8 bits, colours as the file says them."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from vtoon.errors import VtoonError
from vtoon.image import about_image, as_image, load_image, save_image
from vtoon.video import probe, sniff_kind

RGB = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def test_gray_of_sixteen_bits_keeps_its_tones(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    image, alpha = load_image(tmp_path / "ramp.png")
    assert alpha is None and image[..., 0].ravel().tolist() == (ramp.ravel() // 257).tolist()


def test_the_colour_profile_comes_along(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.jpg", icc_profile=profile, dpi=(300, 300))
    save_image(tmp_path / "b.png", RGB, **about_image(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.png") as saved:
        assert saved.info["icc_profile"] == profile and round(saved.info["dpi"][0]) == 300


def test_a_name_may_be_as_long_as_a_file_system_lets_it_be(tmp_path):
    long = tmp_path / ("ö" * 125 + ".png")  # 254 bytes
    save_image(long, RGB)
    assert np.array_equal(load_image(long)[0], RGB) and list(tmp_path.iterdir()) == [long]
    with pytest.raises(VtoonError, match="cannot write the image"):
        save_image(tmp_path / "a.xyz", RGB)
    assert list(tmp_path.iterdir()) == [long]


def test_of_several_pictures_in_a_file_the_first_is_taken_and_this_is_said(tmp_path, caplog):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(load_image(tmp_path / "a.webp")[0], RGB)
    assert "holds 2 pictures" in caplog.text


def test_what_a_user_may_give_as_a_picture(tmp_path):
    save_image(tmp_path / "a.png", RGB)
    for given in (RGB, Image.fromarray(RGB), tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(as_image(given), RGB)
    assert as_image(Image.fromarray(RGB[..., 0])).shape == (6, 8, 3)
    for bad in (RGB[..., 0], RGB.astype(float), None, 3):
        with pytest.raises(VtoonError, match="a picture is uint8"):
            as_image(bad)


def with_profile(path, image, space):
    """An ICC profile of grays, whose middle is lighter than sRGB's, or one that only says that it is of `space`."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space.encode()
    image.save(path, icc_profile=gray_profile() if space == "GRAY" else bytes(profile))
    return path


def gray_profile(gamma=1.0):
    """The smallest there is: header, white point, tone curve (ICC.1)."""
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    at = 128 + 4 + 2 * 12
    tags = (2).to_bytes(4, "big") + b"wtpt" + at.to_bytes(4, "big") + len(white).to_bytes(4, "big")
    tags += b"kTRC" + (at + len(white)).to_bytes(4, "big") + len(curve).to_bytes(4, "big")
    head = (at + len(white) + len(curve)).to_bytes(4, "big") + b"lcms" + bytes.fromhex("02400000") + b"mntrGRAYXYZ "
    head += bytes(12) + b"acsp" + bytes(28) + white[8:] + bytes(48)
    return head + tags + white + curve


def test_a_profile_of_grays_is_converted_not_copied(tmp_path):
    path = with_profile(tmp_path / "a.png", Image.fromarray(np.full((8, 8), 55, np.uint8)), "GRAY")
    image, _ = load_image(path)
    assert 120 < image.mean() < 137  # 55 of 255 is linear light here: 128 in sRGB
    assert "icc_profile" not in about_image(path)


@pytest.mark.parametrize("mode", ["CMYK", "L", "LA"])
@pytest.mark.parametrize("space", ["CMYK", "GRAY", "RGB "])
def test_a_profile_that_does_not_fit_does_no_harm(tmp_path, mode, space):
    image = Image.new(mode, (8, 8), {"CMYK": (0, 255, 255, 0), "L": 90, "LA": (90, 120)}[mode])
    path = with_profile(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), image, space)
    loaded, alpha = load_image(path)
    assert loaded.shape == (8, 8, 3) and (alpha is None) == (mode != "LA")
    save_image(tmp_path / "b.jpg", loaded, **about_image(path))
    with Image.open(tmp_path / "b.jpg") as saved:
        assert saved.info.get("icc_profile", b"")[16:20] in (b"", b"RGB ")


@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.webp"])
def test_date_camera_and_place_of_a_photo_come_along(tmp_path, name):
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "Maker", "Model", 6
    exif.get_ifd(34665)[36867] = "2024:05:06 07:08:09"
    exif.get_ifd(34853)[1] = "N"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    save_image(tmp_path / name, load_image(tmp_path / "a.jpg")[0], **about_image(tmp_path / "a.jpg"))
    with Image.open(tmp_path / name) as saved:
        kept = saved.getexif()
        assert (kept[271], kept[272], kept.get(274, 1)) == ("Maker", "Model", 1)
        assert kept.get_ifd(34665)[36867] == "2024:05:06 07:08:09" and kept.get_ifd(34853)[1] == "N"
        assert saved.size == (6, 8)  # turned, once


def test_pillows_limit_is_not_ours(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    save_image(tmp_path / "a.png", RGB)
    assert np.array_equal(load_image(tmp_path / "a.png")[0], RGB)
    assert sniff_kind(tmp_path / "a.png") == probe(tmp_path / "a.png").kind == "image"
    assert Image.MAX_IMAGE_PIXELS == 10 and not recwarn.list


@pytest.mark.parametrize("side", [30_000, 60_000])
def test_a_photo_too_large_for_memory_is_refused_before_it_is_read(tmp_path, side, monkeypatch):
    from types import SimpleNamespace

    from vtoon.system import pictures

    header = f"P5 {side} {side} 255\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + bytes(100))
    monkeypatch.setattr(pictures.psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9))
    with pytest.raises(VtoonError, match=f"{side * side / 1e6:.0f} megapixels need .* GB of memory"):
        load_image(tmp_path / "a.pgm")


def test_avif_is_read(tmp_path):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.fromarray(np.full((64, 64, 3), (200, 30, 30), np.uint8)).save(tmp_path / "a.avif")
    assert sniff_kind(tmp_path / "a.avif") == "image"
    assert np.abs(load_image(tmp_path / "a.avif")[0].mean((0, 1)) - (200, 30, 30)).max() < 6


def test_heic_is_read_with_its_extra(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(np.full((64, 64, 3), (200, 30, 30), np.uint8))).save(tmp_path / "a.heic")
    assert sniff_kind(tmp_path / "a.heic") == probe(tmp_path / "a.heic").kind == "image"
    assert np.abs(load_image(tmp_path / "a.heic")[0].mean((0, 1)) - (200, 30, 30)).max() < 6


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"heix"])
def test_heic_without_its_extra_names_it(tmp_path, brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100))
    assert sniff_kind(tmp_path / "a.heic") == "image"
    for read in (load_image, probe):
        with pytest.raises(VtoonError, match=r'pip install "vtoon\[heif\]"'):
            read(tmp_path / "a.heic")
