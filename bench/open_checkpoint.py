"""What open-checkpoint.ts does, with PyTorch: torch.load and load_state_dict into a network that is there already.

    python3 bench/open_checkpoint.py WARM-FILE FILE LAYOUT [mmap]

LAYOUT is JSON: [[name, dtype, shape], ...]. A first, small file has warmed PyTorch up before.
"""

import json
import sys
import time

import torch

warm, path, layout = sys.argv[1:4]
mapped = sys.argv[4:] == ["mmap"]


def network(tensors):
    """A module with tensors of these names and shapes. Their memory is touched, and counts, when they are filled."""
    root = torch.nn.Module()
    for name, dtype, shape in tensors:
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, torch.nn.Module())
            module = getattr(module, parent)
        module.register_buffer(last, torch.empty(shape, dtype=getattr(torch, dtype)))
    return root


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


def load(file, module):
    start = time.perf_counter()
    weights = torch.load(file, weights_only=True, mmap=mapped)["state_dict"]
    (module or network([[n, str(t.dtype)[6:], list(t.shape)] for n, t in weights.items()])).load_state_dict(weights)
    return time.perf_counter() - start


load(warm, None)
module = network(json.loads(layout))
before = memory("VmRSS")
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")
seconds = load(path, module)
print(json.dumps({"seconds": seconds, "growth": memory("VmHWM") - before, "torch": torch.__version__}))
