"""Scores do not outlive the code that made them."""

import shutil
from pathlib import Path

import pytest

import multimodal_fusion
from multimodal_fusion.evaluate.cache import code_hash

PACKAGE = Path(multimodal_fusion.__file__).parent


@pytest.mark.parametrize(
    'file',
    [
        'pipeline/pipeline.py',
        'runtime/onnx_file.py',
        'fusers/kernel/two_layer.c',
        'io/new_reader.py',
    ],
)
def test_every_change_of_what_makes_images_changes_the_key(tmp_path, file):
    copy = shutil.copytree(PACKAGE, tmp_path / 'multimodal_fusion')
    before = code_hash(copy)
    code_hash.cache_clear()
    with (copy / file).open('a') as source:
        source.write('\n# changed\n')
    assert code_hash(copy) != before


def test_a_command_or_a_node_changes_no_score(tmp_path):
    copy = shutil.copytree(PACKAGE, tmp_path / 'multimodal_fusion')
    before = code_hash(copy)
    code_hash.cache_clear()
    with (copy / 'cli/fuse.py').open('a') as source:
        source.write('\n# changed\n')
    assert code_hash(copy) == before
