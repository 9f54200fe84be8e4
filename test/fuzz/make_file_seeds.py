"""Writes test/fuzz/seeds/{tar,list,index}: small right files from which the fuzzers of the readers of files start."""
import hashlib
import io
import struct
import tarfile
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"


def archive(files, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    # Python pads to 10,240 bytes; two blocks of zeros are enough.
    data = out.getvalue()
    end = (len(data.rstrip(b"\0")) + 511) // 512 * 512
    return data[:end] + b"\0" * 1024


def text(value):
    value = value.encode()
    return struct.pack("<Q", len(value)) + value


def column(kind, values):
    return struct.pack("<Q", len(values)) + struct.pack(f"<{len(values)}{kind}", *values)


def index(places):
    names = ["1.png", "2.png", "x.png"]
    ends = [sum(map(len, names[: i + 1])) for i in range(len(names))]
    texts = lambda values: struct.pack("<Q", len(values)) + b"".join(map(text, values))
    body = b"MODEIDX\1" + texts(["fuzz"]) + text("f" * 64) + texts(["cat", "dog"])
    body += struct.pack("<Q", 1) + text("") + struct.pack("<QQq", 5, 2**64 - 1, 1_600_000_000)
    body += texts(["", "cat", "dog"]) + text("".join(names))
    body += column("I", ends) + column("I", [0, 1, 2]) + column("i", [0, 0, 1])
    body += struct.pack("<Q", len(places)) + b"".join(struct.pack("<QQ", *place) for place in places)
    return body


def write(folder, name, data):
    path = SEEDS / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


files = [("a", None), ("a/1.png", b"one"), ("b/2.png", b"two" * 200), ("b/.hidden", b"")]
deep = "d" * 120 + "/" + "f" * 90
for form, number in {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}.items():
    data = archive(files + [(deep, b"x")], format=number)
    write("tar", f"{form}.tar", data)
    write("tar", f"{form}.sums", b"sums:" + data)
nested = archive([("n01.tar", archive(files)), ("n02.tar", archive(files[1:2]))])
write("tar", "nested.sums", b"sums:" + nested)
write("tar", "split.sums", b"sums:" + archive([("set/train/a/1", b"1"), ("set/val/b/2", b"2")]))

write("list", "commas.csv", b'\xef\xbb\xbfpath,label\r\na.png,1\r\n"b, c.png",0\r\n# no\r\n\r\n"d""e.png",2')
write("list", "blanks.txt", b"x/a.png 3\nx/b c.png 0\n/y/d.png 1\n")
write("list", "names.tsv", b"a.png\tcat\nb.png\tdog\nc.png\t7\n")
write("list", "none.txt", b"a.png -1\nb.png -1\n")
write("list", "semicolons.txt", b"image;class\na.png;1\n")

for name, places in {"files": [], "archive": [(512, 3), (1536, 600), (2560, 0)]}.items():
    write("index", f"{name}.sum", b"sum:" + index(places))
    body = index(places)
    write("index", f"{name}.index", body + hashlib.sha256(body).hexdigest().encode())
