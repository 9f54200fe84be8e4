from typing import Callable, NamedTuple


class Entry(NamedTuple):
    """One row of a family's table NETWORKS. `make` takes width, classes and dropout by name."""

    make: Callable
    width: int
    classes: int = 10  # of the data for which the network was published
    dropout: float = 0.0
    size: int = 32  # side of the images
    step: int = 1  # widths are multiples of it
    # Initial tensors of which the bits depend on the processor, since linear algebra makes them: compared by value.
    loose: tuple = ()
