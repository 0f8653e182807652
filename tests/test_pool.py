"""side_by_side: order kept, as many at once as there is room for, exceptions crossed, threads told their share."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.system.pool import side_by_side


@settings(deadline=None, max_examples=25)
@given(items=st.lists(st.integers()), workers=st.integers(1, 4), room=st.integers(0, 5))
def test_order_is_kept_within_the_room_there_is(items, workers, room):
    at_once, most, lock = [0], [0], threading.Lock()

    def work(item):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.0005 * (item % 3))
        with lock:
            at_once[0] -= 1
        return item * 2

    assert list(side_by_side(work, items, workers, lambda _: room)) == [item * 2 for item in items]
    assert most[0] <= max(1, min(workers, room))


def test_items_are_worked_on_at_the_same_time():
    both = threading.Barrier(2)
    assert list(side_by_side(lambda _: both.wait(10) >= 0, range(4), 2, lambda _: 2)) == [True] * 4


def test_one_worker_is_the_caller_and_nothing_is_asked_for_early():
    asked = []

    def items():
        for i in range(3):
            asked.append(i)
            yield i

    results = side_by_side(lambda _: threading.current_thread(), items(), 1, lambda _: 9)
    assert next(results) is threading.current_thread() and asked == [0]


def test_an_exception_comes_after_the_results_before_it():
    def work(item):
        if item == 2:
            raise ValueError("no")
        return item

    results = side_by_side(work, range(9), 3, lambda _: 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no"):
        next(results)


def test_threads_share_the_processor_and_the_caller_keeps_his():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert list(side_by_side(lambda _: torch.get_num_threads(), range(6), 2, lambda _: 2)) == [2] * 6
        assert torch.get_num_threads() == 4
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [4]
    finally:
        torch.set_num_threads(before)
