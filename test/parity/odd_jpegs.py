"""Draws small JPEG files of every kind that a reader may meet, for make_pixel_fixtures.py. Needs g++ and libjpeg."""

import io
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
from PIL import Image

# Of the luma, the chroma having 1x1.
SAMPLINGS = {"444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "441": "1x4", "410": "4x2", "311": "3x1"}
# Width, height: single pixels, single rows and columns, and around the borders of blocks and of pairs of blocks.
SIZES = [(1, 1), (1, 13), (13, 1), (2, 3), (7, 9), (8, 8), (15, 17), (16, 16), (17, 33), (33, 15), (250, 131)]


def picture(width, height):
    """Smooth colours with hard edges and a little noise: [height, width, 3], uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = np.stack([x * 255 / width, y * 255 / height, 127 + 120 * np.sin(x / 5 + y / 9)], axis=-1)
    inside = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (height * 0.28) ** 2
    waves[inside] = 255 - waves[inside]
    waves[int(height * 0.7) :, : width // 3] = (250, 10, 60)
    return np.clip(waves + np.random.default_rng(7).normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


class JpegWriter:
    def __init__(self, folder):
        self.program = pathlib.Path(folder) / "write_jpeg"
        source = pathlib.Path(__file__).with_name("write_jpeg.cc")
        subprocess.run(["g++", "-O1", "-o", self.program, source, "-ljpeg"], check=True)

    def __call__(self, size, given, stored, sampling, *flags, quality=60):
        pixels = picture(*size)
        if given == "gray":
            pixels = pixels[:, :, 1]
        if given in ("cmyk", "ycck"):
            pixels = np.concatenate([pixels, 255 - pixels[::-1, :, 1:2] // 2], axis=-1)
        words = [str(word) for word in (*size, given, stored, sampling, quality, *flags)]
        run = subprocess.run([self.program, *words], input=pixels.tobytes(), stdout=subprocess.PIPE, check=True)
        return run.stdout


def drawn():
    with tempfile.TemporaryDirectory() as scratch:
        return jpegs(JpegWriter(scratch))


def jpegs(write):
    size = (61, 47)

    def color(sampling, *flags, at=size, **options):
        return write(at, "rgb", "ycc", sampling + ",1x1,1x1", *flags, **options)

    made = {}
    for name, luma in SAMPLINGS.items():
        made[f"baseline-{name}"] = color(luma)
        made[f"progressive-{name}"] = color(luma, "progressive")
    for at in SIZES:
        made[f"size-{at[0]}x{at[1]}"] = color("2x2", at=at, quality=35)
    for at in [(1, 1), (3, 2), (9, 7)]:
        made[f"size-422-{at[0]}x{at[1]}"] = color("2x1", at=at)
        made[f"size-440-{at[0]}x{at[1]}"] = color("1x2", at=at)
    base = made["baseline-420"]
    soi, rest = base[:2], base[2:]
    made |= {
        # Sampling
        "chroma-uneven": write(size, "rgb", "ycc", "2x2,2x1,1x2"),
        "chroma-finer": write(size, "rgb", "ycc", "1x1,2x1,2x2"),
        "chroma-444-as-1x2": write(size, "rgb", "ycc", "1x2,1x2,1x2"),
        "gray-as-2x2": write(size, "gray", "gray", "2x2"),
        # Scans and coders
        "gray-progressive": write(size, "gray", "gray", "1x1", "progressive"),
        "restart-3": color("2x2", "restart=3"),
        "restart-row": color("2x1", "restart=4"),
        "restart-progressive": color("2x2", "progressive", "restart=2"),
        "separate-scans": color("2x2", "separate"),
        "optimized": color("2x1", "optimize"),
        "arithmetic": color("2x2", "arithmetic"),
        "arithmetic-progressive": color("2x2", "arithmetic", "progressive"),
        "wide-tables": color("2x2", "wide-tables", quality=2),
        "no-huffman-tables": without(base, 0xC4),
        "progressive-first-scan": ended_after_scans(made["progressive-420"], 1),
        "progressive-first-scan-422": ended_after_scans(made["progressive-422"], 1),
        "progressive-two-scans": ended_after_scans(made["progressive-444"], 2),
        "progressive-four-scans": ended_after_scans(made["progressive-444"], 4),
        # Colour spaces, told by markers or by the components' names
        "rgb-adobe": write(size, "rgb", "rgb", "1x1,1x1,1x1", "all-markers"),
        "rgb-by-names": write(size, "rgb", "rgb", "1x1,1x1,1x1", "no-markers"),
        "ycc-adobe": with_adobe(without(base, 0xE0), 1),
        "ycc-no-markers": without(base, 0xE0),
        "ycc-ids-from-0": color("2x2", "no-markers", "ids-from-0"),
        "jfif-and-adobe-rgb": with_adobe(base, 0),
        "adobe-unknown": with_adobe(without(base, 0xE0), 7),
        "cmyk-adobe": write(size, "cmyk", "cmyk", "1x1,1x1,1x1,1x1"),
        "cmyk-no-markers": write(size, "cmyk", "cmyk", "1x1,1x1,1x1,1x1", "no-markers"),
        "cmyk-sampled": write(size, "cmyk", "cmyk", "2x2,1x1,1x1,2x2"),
        "ycck": write(size, "cmyk", "ycck", "1x1,1x1,1x1,1x1"),
        "ycck-420": write(size, "cmyk", "ycck", "2x2,1x1,1x1,2x2"),
        "ycck-progressive": write(size, "cmyk", "ycck", "2x2,1x1,1x1,2x2", "progressive"),
        # What stands beside the image
        "exif-rotated": with_segment(base, 0xE1, b"Exif\0\0" + orientation(6)),
        "icc-profile": with_segment(base, 0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(200))),
        "jfif-thumbnail": soi + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\2\2" + bytes(range(12))) + without(base, 0xE0)[2:],
        "comment": with_segment(base, 0xFE, b"A comment that holds a marker: \xff\xd9\xff\xd8"),
        "fill-bytes": soi + b"\xff\xff\xff" + rest,
        "garbage-after": base + b"\0\xff\xda garbage" * 9,
        "two-images": base + made["size-8x8"],
        "image-in-segment": with_segment(base, 0xE5, made["size-7x9"]),
        "mpo": mpo(),
    }
    # What libjpeg warns of and decodes
    made |= {
        "damaged-scan": damaged(made["baseline-422"]),
        "damaged-restarts": damaged(made["restart-3"]),
        "damaged-progressive": damaged(made["progressive-444"], parts=(3, 9, 13)),
        "early-end": base[: len(base) * 2 // 3] + b"\xff\xd9",
        "early-end-progressive": made["progressive-422"][: len(made["progressive-422"]) // 2] + b"\xff\xd9",
        "lost-restart": made["restart-3"].replace(b"\xff\xd2", b"", 1),
    }
    return made


def refused(made):
    """Files of which Pillow refuses most; its verdict is asked all the same."""
    base = made["baseline-420"]
    frame = base.index(b"\xff\xc0")
    scan = base.index(b"\xff\xda")

    def patch(offset, value):
        return base[:offset] + bytes([value]) + base[offset + 1 :]

    return {
        "twelve-bit": patch(frame + 4, 12),
        "no-width": base[: frame + 7] + b"\0\0" + base[frame + 9 :],
        "no-height": base[: frame + 5] + b"\0\0" + base[frame + 7 :],
        "two-components": two_components(base, frame),
        "component-twice": patch(scan + 7, base[scan + 5]),
        "table-missing": without(base, 0xDB),
        "frame-missing": without(base, 0xC0),
        "scan-missing": base[:scan] + b"\xff\xd9",
        "hierarchical": patch(frame + 1, 0xC5),
        "segment-of-length-0": with_segment(base, 0xE4, b"")[:4] + b"\0\0" + base[2:],
        "sampling-0": patch(frame + 11, 0),
        "sampling-fractional": base[: frame + 11] + b"\x32\0\2\x21" + base[frame + 15 :],
        "only-start": base[:3],
        "damaged-progressive": damaged(made["progressive-420"]),
        "lossless": lossless_gray(picture(19, 13)[:, :, 1]),
        "huge": base[: frame + 5] + b"\xff\xdc\xff\xdc" + base[frame + 9 :],
    }


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(jpeg, marker, body):
    return jpeg[:2] + segment(marker, body) + jpeg[2:]


def with_adobe(jpeg, transform):
    """Behind JFIF's segment, where there is one."""
    at = 20 if jpeg[3] == 0xE0 else 2
    return jpeg[:at] + segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)) + jpeg[at:]


def segments(jpeg):
    """(marker, begin, end) of each segment before the first scan's data."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield jpeg[at + 1], at, end
        at = end


def without(jpeg, unwanted):
    for marker, begin, end in reversed(list(segments(jpeg))):
        if marker == unwanted:
            jpeg = jpeg[:begin] + jpeg[end:]
    return jpeg


def ended_after_scans(jpeg, count):
    at = 0
    for _ in range(count + 1):
        at = jpeg.index(b"\xff\xda", at + 1)
    # The next scan's Huffman tables stand before it.
    tables = jpeg.rfind(b"\xff\xc4", 0, at)
    return jpeg[: tables if tables > jpeg.rindex(b"\xff\xda", 0, at) else at] + b"\xff\xd9"


def damaged(jpeg, parts=(5, 9, 12)):
    """A few bytes of the scan changed, none of them a marker's; `parts` are sixteenths."""
    scan = jpeg.index(b"\xff\xda")
    copy = bytearray(jpeg)
    for part in parts:
        at = scan + (len(jpeg) - scan) * part // 16
        while 0xFF in copy[at - 1 : at + 2]:
            at += 1
        copy[at] ^= 0x55
    return bytes(copy)


def two_components(base, frame):
    begin, end = frame, frame + 2 + struct.unpack(">H", base[frame + 2 : frame + 4])[0]
    body = bytearray(base[begin + 4 : end])
    body[5] = 2
    return base[:begin] + segment(0xC0, bytes(body[:12])) + base[end:]


def orientation(value):
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, value, 0) + b"\0\0\0\0"


def mpo():
    file = io.BytesIO()
    other = Image.fromarray(picture(16, 16))
    Image.fromarray(picture(29, 31)).save(file, "MPO", quality=60, save_all=True, append_images=[other])
    return file.getvalue()


def lossless_gray(pixels):
    """Process 14, predictor 1 (the neighbour on the left), one Huffman table of nine codes of four bits."""
    values = pixels.astype(int)
    before = np.concatenate([np.concatenate([[128], values[:-1, 0]])[:, None], values[:, :-1]], axis=1)
    bits = ""
    for difference in (values - before).ravel():
        category = int(abs(difference)).bit_length()
        bits += f"{category:04b}"
        if category:
            bits += f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}"
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    height, width = pixels.shape
    frame = segment(0xC3, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    table = segment(0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)]))
    return b"\xff\xd8" + frame + table + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + data + b"\xff\xd9"
