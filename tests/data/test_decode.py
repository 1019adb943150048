"""Every kind of file to upright RGB; boxes cut out where they lie."""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny import photograph

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, read_image, resize_long_side, upright_size_wh
from animalclef.data.hashing import content_key, hash_images
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import DataError
from animalclef.runtime.progress import Silent
from animalclef.structures import DecodedImage

WHOLE = np.full(5, np.nan, dtype=np.float32)
GREY = 128


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(content: bytes, box: NDArray[np.float32] = WHOLE, long_side: int = 1024) -> DecodedImage:
    return decode(content, box, long_side, 10_000_000)


def box(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def picture() -> NDArray[np.uint8]:
    """4 wide, 2 high; every pixel has a value of its own."""
    return np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(orientation: int) -> None:
    upright = picture()
    # What a camera stores so that the viewer's correction for the tag gives the upright picture (EXIF 2.3, 0x0112).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = opened(saved(Image.fromarray(np.ascontiguousarray(stored)), exif=exif))
    np.testing.assert_array_equal(image.pixels, upright)
    assert image.original_size_wh == (4, 2)


def test_a_reduced_photograph_turned_by_exif_keeps_its_upright_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = opened(saved(Image.new("RGB", (800, 400)), "JPEG", exif=exif), long_side=100)
    assert image.original_size_wh == (400, 800)
    assert image.pixels.shape == (100, 50, 3)


def test_cmyk() -> None:
    image = opened(saved(Image.new("CMYK", (30, 20), (0, 255, 255, 0)), "JPEG", quality=95))  # no cyan: red
    assert image.pixels.shape == (20, 30, 3)
    np.testing.assert_allclose(image.pixels[10, 15], [255, 0, 0], atol=6)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = np.array([[0, 257, 32768], [65535, 25700, 128]], dtype=np.uint16)
    image = opened(saved(Image.fromarray(deep)))
    # 32768 / 257 = 127.5 (to the even 128), 128 / 257 = 0.498
    np.testing.assert_array_equal(image.pixels[:, :, 0], [[0, 1, 128], [255, 100, 0]])
    np.testing.assert_array_equal(image.pixels[:, :, 0], image.pixels[:, :, 2])


def test_float_grey_is_scaled_by_its_range() -> None:
    image = opened(saved(Image.fromarray(np.array([[-1.0, 0.0, 3.0]], dtype=np.float32)), "TIFF"))
    np.testing.assert_array_equal(image.pixels[:, :, 1], [[0, 64, 255]])


def test_one_bit() -> None:
    bits = Image.fromarray(np.array([[True, False, True]]))
    assert bits.mode == "1"
    np.testing.assert_array_equal(opened(saved(bits)).pixels[:, :, 0], [[255, 0, 255]])


def test_transparency_becomes_alpha_over_grey() -> None:
    layered = np.array([[[200, 100, 0, 255], [200, 100, 0, 0]]], dtype=np.uint8)
    image = opened(saved(Image.fromarray(layered)))
    np.testing.assert_array_equal(image.pixels, [[[200, 100, 0], [GREY] * 3]])
    np.testing.assert_array_equal(image.alpha, [[255, 0]])


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1, 0])
    decoded = opened(saved(image, transparency=1))
    np.testing.assert_array_equal(decoded.pixels, [[[255, 0, 0], [GREY] * 3, [255, 0, 0]]])
    np.testing.assert_array_equal(decoded.alpha, [[255, 0, 255]])


def test_an_opaque_file_has_no_alpha() -> None:
    assert opened(saved(Image.new("RGB", (4, 2)))).alpha is None
    assert opened(saved(Image.new("L", (4, 2)))).alpha is None


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(format: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    content = saved(frames[0], format, save_all=True, append_images=frames[1:])
    decoded = opened(content)
    assert decoded.original_size_wh == (30, 20)
    np.testing.assert_allclose(decoded.pixels[10, 15], [255, 0, 0], atol=8)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_one_pixel(mode: str) -> None:
    assert opened(saved(Image.new(mode, (1, 1)))).pixels.shape == (1, 1, 3)


def test_a_truncated_jpeg_says_so() -> None:
    content = saved(Image.fromarray(photograph([0], 0)), "JPEG")
    with pytest.raises(UnreadableImageError, match=r"not a readable image \(image file is truncated"):
        opened(content[: len(content) // 2])


def test_text_named_jpg_says_so() -> None:
    with pytest.raises(UnreadableImageError, match=r"^not a readable image \(cannot identify image file\)$"):
        opened(b"404: not found\n")


def test_a_monstrous_photograph_is_refused_by_its_header() -> None:
    content = saved(Image.new("1", (400, 300)))
    with pytest.raises(UnreadableImageError, match=r"400 x 300 pixels is more than data.max_pixels = 119999"):
        decode(content, WHOLE, 1024, 119_999)
    assert decode(content, WHOLE, 1024, 120_000).original_size_wh == (400, 300)
    cut = content[:60]  # the header alone: refused before any pixel is asked for
    with pytest.raises(UnreadableImageError, match="more than"):
        decode(cut, WHOLE, 1024, 119_999)


def test_what_pillow_itself_refuses_is_told_as_too_large() -> None:
    header = bytearray(saved(Image.new("1", (8, 8))))
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(UnreadableImageError, match="400000000 pixels"):
        decode(bytes(header), WHOLE, 1024, 10**9)


def test_reduced_decoding_is_close_to_the_full_one() -> None:
    rng = np.random.default_rng(0)
    large = cv2.resize(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8), (1600, 960), interpolation=cv2.INTER_CUBIC)
    content = saved(Image.fromarray(large), "JPEG", quality=95)
    reduced = opened(content, long_side=200)
    assert reduced.original_size_wh == (1600, 960)
    assert reduced.pixels.shape == (120, 200, 3)
    full = resize_long_side(opened(content, long_side=1600).pixels, 200, enlarge=False)
    assert np.abs(reduced.pixels.astype(int) - full).mean() < 2


def test_photographs_are_not_enlarged() -> None:
    small = np.zeros((20, 30, 3), dtype=np.uint8)
    assert resize_long_side(small, 90, enlarge=False).shape == (20, 30, 3)
    assert resize_long_side(small, 90, enlarge=True).shape == (60, 90, 3)
    assert resize_long_side(np.zeros((300, 1, 3), dtype=np.uint8), 100, enlarge=False).shape == (100, 1, 3)


# Boxes.


def test_an_upright_box_is_cut_to_the_pixel() -> None:
    pixels = photograph([0], 0)
    decoded = opened(saved(Image.fromarray(pixels)), box(20, 30, 50, 40, 0))
    np.testing.assert_array_equal(decoded.pixels, pixels[30:70, 20:70])
    assert decoded.original_size_wh == (50, 40)


def test_a_box_over_the_edge_is_clipped() -> None:
    pixels = photograph([0], 0)
    decoded = opened(saved(Image.fromarray(pixels)), box(-10, -5, 50, 40, 0))
    np.testing.assert_array_equal(decoded.pixels, pixels[:35, :40])


@pytest.mark.parametrize("values", [(500, 10, 20, 20, 0), (-30, 10, 20, 20, 0), (10, 900, 20, 20, 0.5)])
def test_a_box_outside_is_told(values: tuple[float, ...]) -> None:
    with pytest.raises(UnreadableImageError, match=r"the box .* lies outside the photograph of 200 x 100"):
        opened(saved(Image.new("RGB", (200, 100))), box(*values))


def test_a_quarter_turn_clockwise() -> None:
    """A box 80 wide and 20 high turned by 90 degrees covers 20 x 80 pixels; its top edge faces right."""
    pixels = np.zeros((100, 60, 3), dtype=np.uint8)
    pixels[10:90, 20:40] = photograph([0], 0)[:80, :20]
    decoded = opened(saved(Image.fromarray(pixels)), box(30 - 40, 50 - 10, 80, 20, math.pi / 2))
    assert decoded.original_size_wh == (80, 20)
    np.testing.assert_array_equal(decoded.pixels, np.rot90(pixels[10:90, 20:40], 1))


@pytest.mark.parametrize("degrees", [-50, -20, -6, 2, 6, 10, 30, 75, 160])  # 6 is 0.105 rad, 2 is 0.035 rad
def test_a_turned_box_is_cut_where_it_was_drawn(degrees: float) -> None:
    """A red rectangle with a green band at its top and a blue one at its left, drawn turned, comes back upright."""
    width, height, centre = 120, 60, np.array([170.0, 110.0])
    rotation_rad = math.radians(degrees)
    pixels = np.full((240, 320, 3), 40, dtype=np.uint8)
    patches = (
        ((0, 0, width, height), (255, 0, 0)),
        ((0, 0, width, 15), (0, 255, 0)),
        ((0, 0, 12, height), (0, 0, 255)),
    )
    for (left, top, right, bottom), colour in patches:
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)
        cosine, sine = math.cos(rotation_rad), math.sin(rotation_rad)
        # x to the right, y downwards: this matrix turns clockwise as seen
        turned = (corners - (width / 2, height / 2)) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
        cv2.fillPoly(pixels, [np.round(turned).astype(np.int32)], colour)
    left, top = centre - (width / 2, height / 2)
    decoded = opened(saved(Image.fromarray(pixels)), box(left, top, width, height, rotation_rad))
    assert decoded.pixels.shape == (height, width, 3)
    np.testing.assert_array_equal(decoded.pixels[7, 60], [0, 255, 0])
    np.testing.assert_array_equal(decoded.pixels[40, 6], [0, 0, 255])
    np.testing.assert_array_equal(decoded.pixels[40, 60], [255, 0, 0])
    background = (decoded.pixels == 40).all(axis=2)
    assert not background[2:-2, 2:-2].any()
    # a few pixels further out on each side there is background: the box is not too small either
    around = opened(saved(Image.fromarray(pixels)), box(left - 6, top - 6, width + 12, height + 12, rotation_rad))
    border = np.concatenate([around.pixels[1], around.pixels[-2], around.pixels[:, 1], around.pixels[:, -2]])
    assert (border == 40).all()


def test_a_turned_box_over_the_edge_keeps_what_there_is() -> None:
    pixels = np.full((60, 100, 3), 200, dtype=np.uint8)
    decoded = opened(saved(Image.fromarray(pixels)), box(-1e6, -1e6, 2e6, 2e6, 0.3))
    width, height = decoded.original_size_wh
    # the photograph's own extent along the turned axes: 100 cos + 60 sin and 100 sin + 60 cos
    assert abs(width - (100 * math.cos(0.3) + 60 * math.sin(0.3))) <= 1
    assert abs(height - (100 * math.sin(0.3) + 60 * math.cos(0.3))) <= 1
    assert (decoded.pixels == 200).all(axis=2).sum() > 0.95 * 60 * 100


def test_alpha_follows_the_box_and_the_scale() -> None:
    layered = np.zeros((100, 200, 4), dtype=np.uint8)
    layered[:, 100:, 3] = 255
    decoded = opened(saved(Image.fromarray(layered)), box(50, 0, 100, 100, 0), long_side=50)
    assert decoded.alpha is not None
    assert decoded.alpha.shape == (50, 50)
    assert decoded.alpha[:, :25].max() == 0
    assert decoded.alpha[:, 25:].min() == 255
    assert decoded.original_size_wh == (100, 100)


# Files on disk.


def test_read_image_refuses_a_file_that_changed(tmp_path: Path) -> None:
    first, second = (saved(Image.new("RGB", (4, 2), colour)) for colour in ("red", "blue"))
    (tmp_path / "a.png").write_bytes(first)
    (tmp_path / "metadata.csv").write_text("image_id,path,identity\n1,a.png,Ada\n")
    images = load_table(find_source(tmp_path)).images
    images = images.with_columns(key=np.array([content_key(first, WHOLE)], dtype=object))
    assert read_image(images, 0, DataConfig()).original_size_wh == (4, 2)
    (tmp_path / "a.png").write_bytes(second)
    with pytest.raises(DataError, match="the file changed while this run was working"):
        read_image(images, 0, DataConfig())
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"cannot be read any more \(No such file"):
        read_image(images, 0, DataConfig())


def test_the_content_key_follows_bytes_and_box() -> None:
    keys = {content_key(b"a", WHOLE), content_key(b"b", WHOLE), content_key(b"a", box(1, 2, 3, 4, 0))}
    assert len(keys) == 3
    assert content_key(b"a", WHOLE) == "ca978112ca1bbdcafac231b39a23dc4d"  # the first half of SHA-256("a")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damaged_files_decode_or_are_told_never_more(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(photograph([0], 0)[:40, :60])
    content = saved(image, format, exif=exif) if format in ("JPEG", "PNG", "WEBP", "TIFF") else saved(image, format)
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        # mostly the header, where the structure is
        for place in rng.integers(0, min(len(damaged), rng.choice([100, 600, 100_000])), rng.integers(1, 6)):
            damaged[place] = rng.integers(0, 256)
        with contextlib.suppress(UnreadableImageError):
            assert opened(bytes(damaged)).pixels.ndim == 3


def test_odd_exif_never_stops_a_run() -> None:
    """An orientation tag of every type: Pillow reads some of them and cannot write them again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.new("RGB", (40, 20), "red"), exif=exif)
    marker = content.index(b"\x01\x12\x00\x03")
    sizes, refused = set(), 0
    for kind in range(256):
        changed = bytearray(content)
        changed[marker + 3] = kind  # the type of the orientation tag
        try:
            sizes.add(decode(bytes(changed), WHOLE, 64, 10_000).original_size_wh)
        except UnreadableImageError:
            refused += 1
    assert (20, 40) in sizes
    assert refused < 256


NO_BOX = np.full(5, np.nan, np.float32)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 9, 200])
def test_a_tiff_is_turned_once(tmp_path: Path, orientation: int) -> None:
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    pixels = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    stored = Image.fromarray(pixels)
    stored = stored.transpose(turns[orientation]) if orientation in turns else stored
    stored.save(tmp_path / "a.tif", tiffinfo={274: orientation})
    decoded = decode((tmp_path / "a.tif").read_bytes(), NO_BOX, 2048, 10**9)
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert upright_size_wh(tmp_path / "a.tif") == (50, 30)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_deep_grey_image_is_scaled_by_the_bits_in_use(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    grey = decode(buffer.getvalue(), NO_BOX, 2048, 10**9).pixels[:, :, 0]
    np.testing.assert_array_equal(grey.ravel(), np.arange(256))


def test_a_deep_colour_image_is_not_black() -> None:
    ramp = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    bgr = np.stack([ramp, ramp[::-1], np.full_like(ramp, 4095)], axis=2)
    content = cv2.imencode(".png", bgr)[1].tobytes()
    pixels = decode(content, NO_BOX, 2048, 10**9).pixels
    assert pixels[0, 0].tolist() == [255, round(4095 * 240 / 255 / 4095 * 255), 0]
    np.testing.assert_allclose(pixels[:, :, 2].ravel(), np.arange(256), atol=1)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_deep_jpeg_2000_is_not_dark(bits: int) -> None:
    stored = np.zeros((64, 64, 3), np.uint16)
    stored[:, :, 2] = (2**bits - 1) * np.tri(64)  # red; a lossy step overshoots
    pixels = decode(cv2.imencode(".jp2", stored)[1].tobytes(), NO_BOX, 2048, 10**9).pixels
    assert (np.median(pixels[40:, :20, 0]), np.median(pixels[:20, 40:, 0]), pixels[:, :, 1:].max()) == (255, 0, 0)
    dark = Image.new("RGB", (32, 32), (40, 30, 20))
    assert np.abs(decode(saved(dark, "JPEG2000"), NO_BOX, 2048, 10**9).pixels - [40, 30, 20.0]).max() <= 1


def test_deep_grey_with_transparency_is_not_black() -> None:
    ramp = np.linspace(0, 4095, 256).round().reshape(16, 16)
    opaque = np.full_like(ramp, 65535)
    rows = np.stack([ramp, opaque], axis=2).astype(">u2").reshape(16, 32)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(body)),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    image = decode(png, NO_BOX, 2048, 10**9)
    np.testing.assert_array_equal(image.pixels[:, :, 0].ravel(), np.arange(256))
    assert image.alpha is not None
    assert (image.alpha == 255).all()


def test_float_grey_of_shares_is_not_black() -> None:
    image = opened(saved(Image.fromarray(np.array([[0.0, 0.25, 0.6]], dtype=np.float32)), "TIFF"))
    np.testing.assert_array_equal(image.pixels[:, :, 1], [[0, 64, 153]])


def test_memory_is_bounded_by_bytes_and_not_by_pixels() -> None:
    buffer = io.BytesIO()
    Image.new("F", (1000, 1000)).save(buffer, "TIFF")
    decode(buffer.getvalue(), NO_BOX, 2048, 1_000_000)
    code = (
        "import io, resource, sys, numpy as np; from PIL import Image; from animalclef.data.decode import decode\n"
        "b = io.BytesIO(); Image.new('I;16', (9000, 9000)).save(b, 'PNG'); before = resource.getrusage(0).ru_maxrss\n"
        "decode(b.getvalue(), np.full(5, np.nan, np.float32), 1024, 150_000_000)\n"
        "print((resource.getrusage(0).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 600  # MB: 162 as stored, 243 as RGB; 81 million float64 values alone are 648


@pytest.mark.parametrize("plugin", ["pi_heif", "pillow_heif"])
def test_a_heic_photograph_is_read(tmp_path: Path, plugin: str) -> None:
    encoder = pytest.importorskip("pillow_heif", reason="pillow-heif writes the HEIC file")
    pytest.importorskip(plugin)
    encoder.from_pillow(Image.new("RGB", (64, 48), (200, 40, 40))).save(tmp_path / "a.heic", quality=95)
    decoded = decode((tmp_path / "a.heic").read_bytes(), NO_BOX, 2048, 10**9)
    assert decoded.pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(decoded.pixels[20, 20], (200, 40, 40), atol=6)


def test_a_pipe_never_blocks(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("image_id,path,identity\n1,pipe.jpg,Ada\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    images, skipped = hash_images(load_table(find_source(tmp_path)).images, DataConfig(), 1, Silent())
    assert len(images) == 0
    assert [one.reason for one in skipped] == ["cannot be read (not a regular file)"]
    with pytest.raises(UnreadableImageError):
        upright_size_wh(tmp_path / "pipe.jpg")
