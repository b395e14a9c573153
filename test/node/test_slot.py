"""The hand-over between threads."""

import threading
import time

from multimodal_fusion.nodes.slot import Slot


def test_the_newest_wins_and_the_loss_is_reported():
    slot = Slot()
    assert not slot.put('a')
    assert slot.put('b')
    assert slot.take() == 'b'
    assert not slot.put('c')


def test_what_is_put_fast_is_taken_or_replaced():
    """Of a thousand each is either taken, in order, or counted as replaced."""
    slot, taken = Slot(), []
    taker = threading.Thread(target=lambda: taken.extend(iter(slot.take, None)))
    taker.start()
    replaced = sum(slot.put(i) for i in range(1, 1001))
    deadline = time.monotonic() + 10
    while 1000 not in taken and time.monotonic() < deadline:
        time.sleep(0.001)
    slot.close()
    taker.join(5)
    assert taken == sorted(taken) and taken[-1] == 1000
    assert len(taken) + replaced == 1000


def test_closed_it_gives_nothing_any_more():
    slot = Slot()
    slot.put(1)
    slot.close()
    slot.close()
    slot.put(2)
    assert slot.take() is None


def test_a_waiting_taker_gets_the_item_and_close_wakes_it():
    slot, taken = Slot(), []
    taker = threading.Thread(target=lambda: taken.extend(iter(slot.take, None)))
    taker.start()
    slot.put(1)
    slot.close()
    taker.join(5)
    assert not taker.is_alive()
    assert taken in ([1], [])
