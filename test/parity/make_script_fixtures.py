"""Makes test/fixtures/scripts/*.pt, tiny TorchScript modules, and script.json with what Python makes of them: logits
and feature of the first four synthetic images. Run with a Python that has torch:
python3 test/parity/make_script_fixtures.py"""

import json
import pathlib

import torch
from torch import nn

from synthetic import pixels

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "scripts"


class Net(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.gives = gives
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 10)

    def forward(self, x):
        features = torch.relu(self.norm(self.conv(x)))
        logits = self.fc(features.mean((2, 3)))
        if self.gives == "map":
            return logits, features
        if self.gives == "three":
            return logits, features, features
        return (logits, features.mean((2, 3))) if self.gives == "feature" else logits


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    x = (pixels(4).float() / 255 - MEAN) / STD
    out = {"torch": torch.__version__}
    for gives in ("logits", "feature", "map", "three"):
        torch.manual_seed(5)
        net = Net(gives).eval()
        # Statistics unlike the initial ones, so that batch norm in training mode would show.
        net.norm.running_mean.copy_(torch.linspace(-1, 1, 6))
        with torch.no_grad():
            result = net(x)
            traced = torch.jit.trace(net, x[:2])
        traced.save(str(FOLDER / f"{gives}.pt"))
        if gives == "feature":
            out["logits"], out["feature"] = (part.flatten().tolist() for part in result)
    (FOLDER / "script.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
