"""Where the real images are, for the tests that use them."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get('MULTIMODAL_FUSION_DATA', Path(__file__).parents[3] / 'shared' / 'data'))

needs_data = pytest.mark.skipif(
    not (DATA / 'ivif').is_dir(),
    reason='real image pairs not found; set MULTIMODAL_FUSION_DATA to the folder that holds ivif/',
)
