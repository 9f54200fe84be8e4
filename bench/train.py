"""Python PyTorch's training speed for bench/train.ts: eager, SGD, on tensors that lie in memory (no loader). Reads from standard input
one JSON line a measurement ({"arch", "size", "classes", "batch", "way", "steps"}) and answers each with a line: images per second (the
median of the steps after the first), and GEMM peak of the way's type. Ways:

reference        float32, NCHW: as the paper's code trains
channels-last    float32, channels-last
autocast         channels-last under bfloat16 autocast
"""

import json
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "test" / "parity"))
from torch_networks import build  # noqa: E402


def gemm_peak(dtype):
    """GFLOP/s of a 3072³ matrix product: the floor of what the convolutions can take."""
    n = 3072
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times) / 1e9


def measure(arch, size, classes, batch, way, steps):
    half = way == "autocast"
    torch.manual_seed(0)
    net = build(arch, classes=classes)
    x, y = torch.randn(batch, 3, size, size), torch.randint(0, classes, (batch,))
    if way != "reference":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(net(x)[0], y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        loss.item()
        times.append(time.perf_counter() - start)
    times = sorted(times[1:])
    return {
        "imagesPerSecond": batch / times[len(times) // 2],
        "gemm": gemm_peak(torch.bfloat16 if half else torch.float32),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), flush=True)
