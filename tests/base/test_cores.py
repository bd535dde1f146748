"""Work on cores: in order, told as it goes, and stopped when it must."""

import time

import pytest
import torch

from marmor.base.cores import on_cores


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 * (3 - number))
        return 10 * number

    shares: list[float] = []
    assert on_cores(slow_at_first, range(4), shares.append, threads=4) == [0, 10, 20, 30]
    assert shares == [0.25, 0.5, 0.75, 1]


def test_each_has_one_thread_inside() -> None:
    assert on_cores(lambda _: torch.get_num_threads(), range(3), threads=2) == [1, 1, 1]


def test_a_failure_lets_nothing_more_begin() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        raise RuntimeError(f"item {number}")

    with pytest.raises(RuntimeError, match="item 0"):
        on_cores(fail, range(1000), threads=1)
    assert len(begun) < 1000
