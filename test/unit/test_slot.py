"""The hand-over between threads."""

import threading

from multimodal_fusion.slot import Slot


def test_the_newest_wins_and_the_loss_is_reported():
    slot = Slot()
    assert not slot.put('a')
    assert slot.put('b')
    assert slot.take() == 'b'
    assert not slot.put('c')


def test_a_waiting_taker_gets_the_item_and_close_wakes_it():
    slot, taken = Slot(), []
    taker = threading.Thread(target=lambda: taken.extend(iter(slot.take, None)))
    taker.start()
    slot.put(1)
    slot.close()
    taker.join(5)
    assert not taker.is_alive()
    assert taken in ([1], [])
