"""The processes of a run, as a launcher started them; one where there is no launcher."""

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """This process among its siblings.

    Without a GPU, siblings talk through gloo on the CPU: accelerate must be told so.
    """
    return PartialState(cpu=not torch.accelerator.is_available())
