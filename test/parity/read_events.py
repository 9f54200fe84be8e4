"""Reads a folder of TensorBoard events with TensorBoard's own reader, for test/parity/tensorboard.test.ts.

read_events.py FOLDER    prints {tag: [[time, step, value], …]} as JSON"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator


def main():
    # 0: keep all of them.
    events = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0})
    events.Reload()
    tags = events.Tags()[SCALARS]
    print(json.dumps({tag: [[at.wall_time, at.step, at.value] for at in events.Scalars(tag)] for tag in tags}))


if __name__ == "__main__":
    main()
