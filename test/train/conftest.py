"""What the tests of training share; without torch they are left out as a whole."""

import importlib.util

import cv2
import pytest

from ..helpers.runs import scene

collect_ignore_glob = [] if importlib.util.find_spec('torch') else ['*.py']


@pytest.fixture
def data(tmp_path):
    """A folder of 4 training and 3 validation pairs."""
    for split, seeds in (('train', range(4)), ('val', range(4, 7))):
        for kind in ('vis', 'ir'):
            (tmp_path / 'tiny' / split / kind).mkdir(parents=True)
        for seed in seeds:
            visible, thermal = scene(seed)
            colour = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(tmp_path / f'tiny/{split}/vis/s{seed}.png'), colour)
            cv2.imwrite(str(tmp_path / f'tiny/{split}/ir/s{seed}.png'), thermal)
    return tmp_path / 'tiny'


@pytest.fixture
def no_export(monkeypatch):
    """Leave the model file out, where a test is about something else: it takes seconds."""
    from multimodal_fusion.train import loop

    monkeypatch.setattr(loop, 'export_checkpoint', lambda source, path: None)
