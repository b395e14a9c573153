"""The one parameter table, and what is made from it."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline import settings

ROOT = Path(__file__).parent.parent.parent


def flat(tree, prefix=''):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def test_the_shipped_yaml_is_the_table():
    """If this fails: python -m multimodal_fusion.pipeline.settings yaml > config/fusion.yaml"""
    text = (ROOT / 'config' / 'fusion.yaml').read_text()
    assert text == settings.as_yaml()
    values = dict(flat(yaml.safe_load(text)['/**']['ros__parameters']))
    assert values == settings.Settings().flat()
    assert all(type(values[name]) is type(p.default) for name, p in settings.TABLE.items())


def test_the_documents_hold_the_table():
    """If this fails, put there what python -m multimodal_fusion.pipeline.settings markdown says."""
    assert settings.as_markdown() in (ROOT / 'docs/node.md').read_text()


def test_defaults_pass_their_own_checks():
    assert settings.checked(settings.Settings().flat()) == settings.Settings()


def test_whole_numbers_do_for_numbers():
    assert settings.checked({'sync.slop': 1}).sync.slop == 1.0


BAD = [
    ({'sync.slopp': 0.1}, r'unknown parameter sync\.slopp: did you mean sync\.slop\?'),
    ({'zzz': 0.1}, r'unknown parameter zzz: known are model\.name'),
    ({'sync.slop': -0.1}, r'parameter sync\.slop is -0\.1; it must be from 0 to 10 s'),
    ({'sync.slop': 'x'}, r"parameter sync\.slop must be a number, got 'x' \(a string\)"),
    ({'model.threads': 1.5}, r'parameter model\.threads must be an integer, got 1\.5 \(a number\)'),
    (
        {'stall.policy': 'no'},
        r"parameter stall\.policy is 'no'; use one of none, fuse, visible, drop",
    ),
    ({'registration.homography': ['a']}, r'must be a list of numbers'),
]


@pytest.mark.parametrize(('values', 'text'), BAD)
def test_bad_values_say_what_was_expected(values, text):
    with pytest.raises(UserError, match=text):
        settings.checked(values)


def test_sentences_name_parameters_that_exist():
    """Advice once named model.device, which never was."""
    groups = '|'.join({name.split('.')[0] for name in settings.TABLE})
    pattern = re.compile(rf'(?<![\w./])(?:{groups})\.([a-z_]+)\b(?![\w(/])')
    files = ('onnx', 'md', 'yaml', 'yml', 'py', 'txt', 'html', 'bag', 'tiff', 'png', 'jpg', 'mp4')
    strange = set()
    for path in (ROOT / 'multimodal_fusion').rglob('*.py'):
        if 'train' in path.parts:  # where model.onnx and detector.teacher are other things
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strange |= {
                    (path.name, found[0])
                    for found in pattern.finditer(node.value)
                    if found[0] not in settings.TABLE and found[1] not in files
                }
    assert strange == set()
