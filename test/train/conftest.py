"""What the tests of training share; without torch they are left out as a whole."""

import importlib.util

import pytest

from ..helpers.runs import write_pairs

collect_ignore_glob = [] if importlib.util.find_spec('torch') else ['*.py']


@pytest.fixture
def data(tmp_path):
    """A folder of 4 training and 3 validation pairs."""
    return write_pairs(tmp_path / 'tiny')


@pytest.fixture
def no_export(monkeypatch):
    """Leave the model file out, where a test is about something else: it takes seconds."""
    from multimodal_fusion.train.methods.detector import DetectorMethod
    from multimodal_fusion.train.methods.fusion import FusionMethod

    for kind in (FusionMethod, DetectorMethod):
        monkeypatch.setattr(kind, 'export', lambda self, path: None)
