"""Processes that work side by side, each on cores of its own."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import Queue, get_context

import torch

from marmor.base.errors import UserError


def share_of(at_once: int) -> int:
    """Cores that each of so many processes has; UserError where there are not enough of them."""
    cores = len(os.sched_getaffinity(0))
    if not 1 <= at_once <= cores:
        raise UserError(f"--at-once must be from 1 to the {cores} cores here, not {at_once}.")
    return cores // at_once


@contextmanager
def own_cores(at_once: int) -> Iterator[Executor]:
    """``at_once`` processes; what has not begun when an error or Ctrl-C ends the block is not begun."""
    cores, each = sorted(os.sched_getaffinity(0)), share_of(at_once)
    context = get_context("spawn")
    shares = context.Queue()
    for first in range(0, each * at_once, each):
        shares.put(cores[first : first + each])
    pool = ProcessPoolExecutor(at_once, context, _take, (shares,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _take(shares: "Queue[Sequence[int]]") -> None:
    mine = shares.get()
    os.sched_setaffinity(0, mine)
    torch.set_num_threads(len(mine))
