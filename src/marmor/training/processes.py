"""The processes of a run, as a launcher started them; one where there is no launcher."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """This process among its siblings.

    Without a GPU, siblings talk through gloo on the CPU: accelerate must be told so.
    """
    return PartialState(cpu=not torch.accelerator.is_available())


@contextmanager
def first_alone() -> Iterator[bool]:
    """Whether this is the first process, which does what must be done once; the others wait until it has."""
    siblings = processes()
    yield siblings.is_main_process
    siblings.wait_for_everyone()
