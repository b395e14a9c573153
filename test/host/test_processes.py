"""Starting and stopping processes."""

import os
import signal

import pytest

from multimodal_fusion.errors import Interrupted
from multimodal_fusion.host import processes


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block(number):
    before, done = signal.getsignal(number), []
    with pytest.raises(Interrupted), processes.undisturbed():
        os.kill(os.getpid(), number)
        done.append('the rest of the block')
    assert done
    assert signal.getsignal(number) == before
