"""Independent pieces of work, each on a core of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_cores(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    watch: Callable[[float], object] = lambda share: None,
    threads: int | None = None,
) -> list[Result]:
    """``work`` of every item, in order; as many at a time as there are cores, or ``threads``.

    Each runs with one thread inside its operations: for work of this size that is faster than spreading every
    operation, and the result does not depend on the number of cores. ``watch`` is told which share is done.
    An interruption lets nothing more begin.
    """
    count = torch.get_num_threads() if threads is None else threads
    done: list[Result] = []
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for result in pool.map(work, items):
                done.append(result)
                watch(len(done) / len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return done
