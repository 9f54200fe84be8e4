"""Compares two folders of scores, DETECTOR/MEMBERS/SET.npy as `--scores` writes them.

    python3 test/parity/check_scores.py OURS THEIRS [--tolerance 1e-4] [--match OURS-NAME=THEIRS-NAME …] [--only PATH …]

For each file that both have: the largest |a − b|/|b|, the largest |a − b| over the largest |b|, and whether both rank the
images alike: no two images whose scores are further apart than the tolerance, relative to the larger of the two, in one
folder stand the other way round in the other by more than that. `--match` says what a detector or member is called in the
other folder, for instance `--match 1000=reference`. Ends with 1 where a file is missing on one side, shapes differ, or a
difference exceeds the tolerance. Needs numpy."""

import argparse
import pathlib
import sys

import numpy as np


def inversions(a, b, tolerance, rows=512):
    """How many pairs stand in one order in `a` and in the other in `b`, by more than `tolerance` in both, and of all pairs that
    stand otherwise the largest distance, relative, in the vector where it is smaller."""

    def apart(v, at):
        some = v[at : at + rows, None]
        return (some - v) / np.maximum(np.maximum(np.abs(some), np.abs(v)), np.finfo(float).tiny)

    count, worst = 0, 0.0
    for at in range(0, len(a), rows):
        one, other = apart(a, at), apart(b, at)
        distance = np.where((one > 0) & (other < 0), np.minimum(one, -other), 0)
        count += int((distance > tolerance).sum())
        worst = max(worst, float(distance.max()))
    return count, worst


def compare(a, b, tolerance):
    """Of one vector, float64: (relative, to the largest, pairs that stand wrongly, the worst pair)."""
    difference = np.abs(a - b)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0, difference / np.abs(b)).max()
    return relative, difference.max() / max(np.abs(b).max(), np.finfo(float).tiny), *inversions(a, b, tolerance)


def renamed(path, matches):
    """Folders and the file's stem, each by its name on the other side."""
    *folders, file = path.parts
    stem = file.removesuffix(".npy")
    return pathlib.PurePath(*(matches.get(name, name) for name in folders), f"{matches.get(stem, stem)}.npy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=pathlib.Path)
    parser.add_argument("theirs", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--match", nargs="+", default=[], metavar="OURS=THEIRS")
    parser.add_argument("--only", nargs="+", metavar="PATH", help="files whose path below OURS begins so")
    options = parser.parse_args()
    matches = dict(pair.split("=", 1) for pair in options.match)
    ours = {path.relative_to(options.ours) for path in options.ours.rglob("*.npy")}
    if options.only:
        ours = {path for path in ours if path.as_posix().startswith(tuple(options.only))}
    failed, compared = 0, set()
    for path in sorted(ours):
        other = options.theirs / renamed(path, matches)
        if not other.exists():
            print(f"{path.as_posix()}: not in {options.theirs}")
            failed += 1
            continue
        compared.add(other)
        a, b = (np.load(file, allow_pickle=False).astype(np.float64) for file in (options.ours / path, other))
        if a.shape != b.shape:
            print(f"{path.as_posix()}: shapes {a.shape} and {b.shape}")
            failed += 1
            continue
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            print(f"{path.as_posix()}: not all finite")
            failed += 1
            continue
        for column, (x, y) in enumerate(zip(a.reshape(len(a), -1).T, b.reshape(len(b), -1).T)):
            relative, largest, wrong, worst = compare(x, y, options.tolerance)
            name = path.as_posix() + (f" column {column}" if a.ndim > 1 else "")
            good = relative <= options.tolerance and wrong == 0
            failed += not good
            pairs = f"{wrong} pairs ranked otherwise (closest to a tie by {worst:.1e})" if worst else "ranked alike"
            print(f"{'ok  ' if good else 'FAIL'} {name}: relative {relative:.1e}, of the largest {largest:.1e}, {pairs}")
    if not compared:
        print("nothing to compare")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
