"""Picture files: upright, 8 bits, colours as the file says them."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from vtoon.errors import VtoonError
from vtoon.image import about_image, as_image, load_image, save_image

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
