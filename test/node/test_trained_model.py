"""From training to the robot: what a smoke run of mmdr-student makes is loaded by the node."""

import cv2
import numpy as np
import pytest
import yaml

for package in ('torch', 'safetensors', 'onnx', 'onnxscript', 'tqdm', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion import cli
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked

from ..helpers.runs import REPOSITORY
from .frames import play, scene, warm
from .harness import running


def test_the_node_fuses_with_a_freshly_trained_model(tmp_path):
    for split, numbers in (('train', range(4)), ('val', range(4, 6))):
        for number in numbers:
            for name, image in zip(('vis', 'ir'), scene(number), strict=True):
                folder = tmp_path / 'data' / split / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'{number}.png'), image)
    config = yaml.safe_load((REPOSITORY / 'config/train/mmdr-student-quick.yaml').read_text())
    config |= {'steps': 6, 'batch': 4, 'patch': 32, 'warm_up': 0, 'evaluate_every': 3}
    config['weights'] |= {'distillation': 0.0}
    config['method'] |= {'patches': 8, 'validation_pairs': 2}
    (tmp_path / 'smoke.yaml').write_text(yaml.safe_dump(config))
    options = ['--config', tmp_path / 'smoke.yaml', '--data', tmp_path / 'data', '--no-perception']
    words = ['train', 'mmdr-student', *options, '--out', tmp_path / 'run']
    assert cli.main([str(word) for word in words]) == 0
    chosen = {'model.name': str(tmp_path / 'run/model.onnx'), 'model.allow_unlisted': True}
    frames = [scene(i) for i in range(8)]
    with running(chosen) as node:
        warm(node.rig)
        fused = play(node.rig, frames)
    offline = build(checked(chosen))
    for i, (visible, thermal) in enumerate(frames):
        assert np.array_equal(fused[i], offline.fuse(visible, offline.observe(thermal, i)))
