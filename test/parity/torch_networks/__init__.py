"""The networks of native/models/ in plain PyTorch, as the published code builds them: what fixtures and benches compare
with. Names of modules, and the order in which they are made, are those of the published classes, so that state_dict and
the initial weights of a seed agree with them. Every network's forward returns (logits [N, C], penultimate [N, D], stages:
a list of [N, C_k, H_k, W_k])."""

from . import densenet, residual, t2t_vit, wide

# In the order of the registry (native/models/registry.cc); every family's module has a table of its own.
NETWORKS = {**residual.NETWORKS, **wide.NETWORKS, **densenet.NETWORKS, **t2t_vit.NETWORKS}


def build(name, width=None, classes=None, dropout=None):
    """One network; what is None is as published."""
    entry = NETWORKS[name]
    return entry.make(
        width=entry.width if width is None else width,
        classes=entry.classes if classes is None else classes,
        dropout=entry.dropout if dropout is None else dropout,
    )
