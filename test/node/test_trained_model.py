"""From training to the robot: what a smoke run of mmdrfuse makes is loaded by the node."""

import cv2
import numpy as np
import pytest

for package in (
    'torch',
    'lightning_fabric',
    'pydantic',
    'safetensors',
    'onnx',
    'onnxscript',
    'matplotlib',
):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion import cli
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked

from ..helpers.runs import command
from .frames import play, scene, warm
from .harness import running


def test_the_node_fuses_with_a_freshly_trained_model(tmp_path):
    for split, numbers in (('train', range(4)), ('val', range(4, 6))):
        for number in numbers:
            for name, image in zip(('vis', 'ir'), scene(number), strict=True):
                folder = tmp_path / 'data' / split / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'{number}.png'), image)
    changes = {
        'steps': 6, 'batch': 4, 'evaluate_every': 3, 'optimiser.warm_up': 0, 'mmdrfuse.patch': 32,
        'mmdrfuse.patches': 8, 'mmdrfuse.validation_pairs': 2,
        'mmdrfuse.weights.distillation': 0.0,
    }  # fmt: skip
    options = ('--no-perception',)
    words = command('mmdrfuse', tmp_path / 'data', tmp_path / 'run', changes, *options)[3:]
    assert cli.main([str(word) for word in words]) == 0
    chosen = {'model.name': str(tmp_path / 'run'), 'model.allow_unlisted': True}
    frames = [scene(i) for i in range(8)]
    with running(chosen) as node:
        warm(node.rig)
        fused = play(node.rig, frames)
    offline = build(checked(chosen))
    for i, (visible, thermal) in enumerate(frames):
        assert np.array_equal(fused[i], offline.fuse(visible, offline.observe(thermal, i)))
