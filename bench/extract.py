"""Python PyTorch's speed of one evaluation pass, for bench/extract.ts: images in memory, no loader, logits alone. Reads from
standard input one JSON line a measurement ({"arch", "size", "classes", "batch", "way", "rounds"}) and answers each with a line: images per
second (median), and GEMM peak of the way's type. Ways:

reference            float32, NCHW, eager: as the paper's code runs its networks
channels-last        float32, channels-last, eager
autocast             channels-last under bfloat16 autocast, eager
compiled             torch.compile with freezing, channels-last, float32
compiled-bfloat16    the same under bfloat16 autocast
"""

import contextlib
import json
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "test" / "parity"))
from torch_networks import build  # noqa: E402
from train import gemm_peak  # noqa: E402


class Logits(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]


def measure(arch, size, classes, batch, way, rounds):
    half = way in ("autocast", "compiled-bfloat16")
    torch.manual_seed(0)
    network = Logits(build(arch, classes=classes)).eval()
    x = torch.randn(batch, 3, size, size)
    if way != "reference":
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if way.startswith("compiled"):
        import torch._inductor.config as config

        config.freezing = True
        # Each network is compiled for itself: what was compiled before must not make this one a special case.
        torch._dynamo.reset()
        network = torch.compile(network)
    cast = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
    times = []
    with torch.no_grad(), cast:
        network(x)
        for _ in range(rounds):
            start = time.perf_counter()
            network(x)
            times.append(time.perf_counter() - start)
    speeds = sorted(batch / t for t in times)
    return {
        "imagesPerSecond": speeds[len(speeds) // 2],
        "lowest": speeds[0],
        "highest": speeds[-1],
        "gemm": gemm_peak(torch.bfloat16 if half else torch.float32),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), flush=True)
