"""A homography in the live node: the thermal image lies where the nine numbers put it."""

import numpy as np

from multimodal_fusion.io import messages

from ..pipeline.test_preparation import BLACK, MATRIX, SETTINGS, check, thermal
from .frames import START
from .harness import running, wait_for


def test_homography_from_the_start():
    with running(SETTINGS | {'registration.homography': MATRIX}) as node:
        sent = iter(range(10_000))

        def attempt():
            stamp = START + next(sent) * 33_000_000
            node.rig.send('rgb', BLACK, stamp)
            node.rig.send('thermal', thermal(), stamp)
            return bool(node.rig.fused)

        wait_for(attempt, 'a fused image')
        fused = messages.to_visible(node.rig.fused[0])
        assert fused.shape == BLACK.shape and fused.dtype == np.uint8
        check(fused, thermal())
