"""Python PyTorch's training speed for bench/train.ts: CIFAR ResNet-18 on tensors that lie in memory (no loader), eager,
channels-last, batch 128, SGD. Prints one line of JSON: images per second (the median of the steps after the first) and GEMM peak."""

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


def main(precision, width, steps, threads):
    torch.set_num_threads(threads)
    gemm = gemm_peak(torch.bfloat16 if precision == "bfloat16" else torch.float32)
    torch.manual_seed(0)
    net = build("cifar-resnet18", width).to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    x = torch.randn(128, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (128,))
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = F.cross_entropy(net(x)[0], y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        times.append(time.perf_counter() - start)
    times = sorted(times[1:])
    speed = 128 / times[len(times) // 2]
    print(json.dumps({"imagesPerSecond": speed, "gemm": gemm, "torch": torch.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
