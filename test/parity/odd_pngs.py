"""Draws small PNG files of every kind that a reader may meet, for make_pixel_fixtures.py."""

import struct
import zlib

import numpy as np
from odd_jpegs import orientation, picture

# Gray, RGB, palette, gray and alpha, RGBA: PNG's number, channels, bit depths.
PNG_TYPES = {
    "gray": (0, 1, (1, 2, 4, 8, 16)),
    "rgb": (2, 3, (8, 16)),
    "palette": (3, 1, (1, 2, 4, 8)),
    "gray-alpha": (4, 2, (8, 16)),
    "rgba": (6, 4, (8, 16)),
}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
PNG_START = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def samples(width, height, channels, depth):
    """[height, width, channels] of numbers below 2^depth."""
    many = picture(width, height)
    planes = [many[:, :, 0], many[:, :, 1], many[:, :, 2], many[::-1, :, 1]][:channels]
    wide = np.stack(planes, axis=-1).astype(np.uint32) * 257 ^ (np.arange(width, dtype=np.uint32)[None, :, None] * 37 & 255)
    return wide >> (16 - depth)


def packed(row, depth):
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = (row.ravel()[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.ravel().astype(np.uint8)).tobytes()


def filtered(rows, step):
    """Rows of bytes under the five filters in turn."""
    out, above = b"", None
    for y, row in enumerate(rows):
        kind = y % 5
        now = np.frombuffer(row, np.uint8).astype(int)
        up = np.zeros_like(now) if above is None or len(above) != len(now) else above
        left, corner = (np.concatenate([np.zeros(step, int), line])[: len(now)] for line in (now, up))
        estimate = left + up - corner
        gaps = [np.abs(estimate - line) for line in (left, up, corner)]
        paeth = np.where((gaps[0] <= gaps[1]) & (gaps[0] <= gaps[2]), left, np.where(gaps[1] <= gaps[2], up, corner))
        guess = [0 * now, left, up, (left + up) // 2, paeth][kind]
        out += bytes([kind]) + ((now - guess) % 256).astype(np.uint8).tobytes()
        above = now
    return out


def png(width, height, type_name, depth, interlaced=False, before=b"", between=b"", parts=1, level=9):
    """`before` stands before the palette, `between` behind it."""
    number, channels, _ = PNG_TYPES[type_name]
    values = samples(width, height, channels, depth)
    step = max(1, channels * depth // 8)
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    fields = [values[y::down, x::right] for y, x, down, right in passes]
    data = zlib.compress(b"".join(filtered([packed(r, depth) for r in f], step) for f in fields if f.size), level)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, number, 0, 0, interlaced))
    colors = (np.random.default_rng(3).integers(0, 256, 3 << depth).astype(np.uint8)).tobytes()
    palette = chunk(b"PLTE", colors) if type_name == "palette" else b""
    cut = -(-len(data) // parts)
    body = b"".join(chunk(b"IDAT", data[i * cut : (i + 1) * cut]) for i in range(parts))
    return PNG_START + header + before + palette + between + body + chunk(b"IEND", b"")


def drawn():
    made = {}
    for kind, (_, channels, depths) in PNG_TYPES.items():
        for depth in depths:
            made[f"{kind}-{depth}-bit"] = png(13, 11, kind, depth)
            made[f"{kind}-{depth}-bit-interlaced"] = png(13, 11, kind, depth, interlaced=True)
            if kind == "palette":
                made[f"palette-{depth}-bit-alpha"] = png(13, 11, kind, depth, between=chunk(b"tRNS", b"\0\x80"))
            elif kind in ("gray", "rgb"):
                # The colour of the pixel at (3, 2) is the transparent one.
                key = samples(13, 11, channels, depth)[2, 3].astype(">u2").tobytes()
                made[f"{kind}-{depth}-bit-key"] = png(13, 11, kind, depth, between=chunk(b"tRNS", key))
    for width, height in [(1, 1), (1, 9), (9, 1), (3, 2), (5, 5), (8, 8)]:
        made[f"interlaced-{width}x{height}"] = png(width, height, "rgb", 8, interlaced=True)
        made[f"interlaced-bits-{width}x{height}"] = png(width, height, "gray", 1, interlaced=True)
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64)))
    made |= {
        "gamma": png(13, 11, "rgb", 8, before=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")),
        "gamma-gray-16": png(13, 11, "gray", 16, before=chunk(b"gAMA", struct.pack(">I", 220000))),
        "profile": png(13, 11, "rgb", 8, before=profile),
        "significant-bits": png(13, 11, "rgb", 8, before=chunk(b"sBIT", b"\5\6\5")),
        "background": png(13, 11, "rgba", 8, between=chunk(b"bKGD", b"\0\xff\0\0\0\0")),
        "suggested-palette": png(13, 11, "rgb", 8, before=chunk(b"PLTE", bytes(range(48)))),
        "rotated-by-exif": png(13, 11, "rgb", 8, before=chunk(b"eXIf", orientation(6))),
        "text": png(13, 11, "rgb", 8, before=chunk(b"tEXt", b"Title\0Pixels") + chunk(b"zzZz", b"unknown")),
        "many-parts": png(29, 23, "rgb", 8, parts=17),
        "empty-parts": with_empty_parts(png(13, 11, "rgb", 8, parts=2)),
        "stored": png(13, 11, "rgb", 8, level=0),
        "short-palette": short_palette(),
        "animated": animated(),
        "garbage-after-end": png(13, 11, "rgb", 8) + b"garbage" * 5,
    }
    return made


def with_empty_parts(file):
    return file.replace(chunk(b"IEND", b""), chunk(b"IDAT", b"") * 2 + chunk(b"IEND", b""))


def short_palette():
    """Pixels whose index lies behind the palette's end."""
    file = png(13, 11, "palette", 8)
    begin = file.index(b"PLTE") - 4
    return file[:begin] + chunk(b"PLTE", bytes(range(30, 90))) + file[begin + 12 + 3 * 256 :]


def animated():
    """APNG of two frames, of which the first is the image itself."""

    def control(number):
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 13, 11, 0, 0, 1, 10, 0, 0))

    start = chunk(b"acTL", struct.pack(">II", 2, 0)) + control(0)
    frame = zlib.compress((b"\0" + bytes(39)) * 11)
    second = control(1) + chunk(b"fdAT", struct.pack(">I", 2) + frame)
    end = chunk(b"IEND", b"")
    return png(13, 11, "rgb", 8, before=start).replace(end, second + end)


def refused():
    """Files of which Pillow refuses most; its verdict is asked all the same."""
    file = png(13, 11, "rgb", 8)
    data = file.index(b"IDAT")
    length = struct.unpack(">I", file[data - 4 : data])[0]
    end = data + 4 + length

    def patch(at, value):
        return file[:at] + bytes([file[at] ^ value]) + file[at + 1 :]

    def header(*fields):
        return PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)) + file[33:]

    palette = png(13, 11, "palette", 4)
    colors = palette.index(b"PLTE") - 4
    content = zlib.decompress(file[data + 4 : end])
    return {
        "header-checksum": patch(30, 1),
        "data-checksum": patch(end, 1),
        "text-checksum": PNG_START + file[8:33] + chunk(b"tEXt", b"Title\0Pixels")[:-1] + b"\0" + file[33:],
        "palette-checksum": palette[: colors + 57] + bytes([palette[colors + 57] ^ 1]) + palette[colors + 58 :],
        "damaged-data": patch(data + 4 + length // 2, 0xFF),
        "adler": with_data(file, zlib.compress(content)[:-1] + b"\0"),
        "too-few-rows": with_data(file, zlib.compress(content[: 5 * 40])),
        "too-few-bytes": with_data(file, zlib.compress(content[:-1])),
        "too-many-rows": with_data(file, zlib.compress(content + content[:80])),
        "data-without-end": with_data(file, zlib.compress(content)[:-6]),
        "no-data": with_data(file, b""),
        "no-width": header(0, 11, 8, 2, 0, 0, 0),
        "depth-of-3": header(13, 11, 3, 2, 0, 0, 0),
        "type-of-5": header(13, 11, 8, 5, 0, 0, 0),
        "filter-of-9": with_data(file, zlib.compress(b"\x09" + content[1:])),
        "interlace-of-2": header(13, 11, 8, 2, 0, 0, 2),
        "no-palette": palette[:colors] + palette[colors + 12 + 48 :],
        "unknown-critical-chunk": file[:33] + chunk(b"ABCD", b"1") + file[33:],
        "huge": header(30000, 30000, 8, 2, 0, 0, 0),
        "only-start": PNG_START,
    }


def with_data(file, data):
    begin = file.index(b"IDAT") - 4
    return file[:begin] + chunk(b"IDAT", data) + chunk(b"IEND", b"")
