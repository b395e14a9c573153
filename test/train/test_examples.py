"""The examples, by the commands that the documents show."""

import json
import re

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.train.run import Checkpoint

from ..helpers.runs import REPOSITORY, changes_of, write_pairs
from .test_train import SMALL, rows

EXAMPLES = REPOSITORY / 'examples'


def train(data, out, *words):
    small = changes_of({**SMALL, 'steps': 8})
    command = ['train', 'fusion', *small, *words, '--data', str(data), '--out', str(out)]
    return cli.main(command)


def test_a_network_of_ones_own_is_trained_exported_fused_and_evaluated(tmp_path, data, capsys):
    run, name = tmp_path / 'small', f'{EXAMPLES}/own_network.py:Small'
    assert train(data, run, '--network', name) == 0
    assert float(rows(run)[-1]['val_loss']) < float(rows(run)[0]['val_loss'])
    card = (run / 'model.md').read_text()
    assert name in card and '| parameters | 809 |' in card
    words = ['fuse', str(data / 'val/vis'), str(data / 'val/ir'), '-o', str(tmp_path / 'fused')]
    assert cli.main([*words, '--model', str(run), '--allow-unlisted']) == 0
    assert cv2.imread(str(tmp_path / 'fused/s4.png'), cv2.IMREAD_GRAYSCALE).std() > 5
    metrics = f'SD,{EXAMPLES}/own_metric.py:dark'
    words = [
        'evaluate',
        '--data',
        str(data / 'val'),
        '--models',
        f'max,{run}',
        '--metrics',
        metrics,
    ]
    words += ['--allow-unlisted', '--no-timing', '--out', str(tmp_path / 'report'), '--jobs', '2']
    assert cli.main(words) == 0
    found = json.loads((tmp_path / 'report/results.json').read_text())
    assert 'DARK' in json.dumps(found)
    assert '<td' in (tmp_path / 'report/report.html').read_text()
    capsys.readouterr()
    words = ['export', str(run), '-o', str(tmp_path / 'x.onnx')]
    assert cli.main(words) == 2  # a run that somebody sent may name any code
    assert f'made by {name!r}, which would be run' in capsys.readouterr().err.replace('…', '')
    assert cli.main([*words, '--trust', name]) == 0
    assert 'parameters: 809' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'column'),
    [
        (['--loss', f'{EXAMPLES}/own_loss.py:both'], f'train_{EXAMPLES}/own_loss.py:both'),
        ([f'terms=["{EXAMPLES}/own_loss.py:contrast"]'], f'train_{EXAMPLES}/own_loss.py:contrast'),
    ],
    ids=['loss', 'term'],
)
def test_a_loss_and_a_term_of_ones_own(tmp_path, data, no_export, words, column):
    assert train(data, tmp_path / 'run', *words) == 0
    assert float(rows(tmp_path / 'run')[-1][column]) >= 0
    about, _ = Checkpoint.load(tmp_path / 'run').method.describe(
        Checkpoint.load(tmp_path / 'run').config.section
    )
    assert f'{EXAMPLES}/own_loss.py' in about


def test_a_loss_from_a_file_of_weights(tmp_path, data, no_export):
    (tmp_path / 'found.yaml').write_text('weights: {intensity: 1.0, ssim: 0.25}\n')
    assert train(data, tmp_path / 'run', '--loss', str(tmp_path / 'found.yaml')) == 0
    last = {name: float(value) for name, value in rows(tmp_path / 'run')[-1].items()}
    expected = last['val_intensity'] + 0.25 * last['val_ssim']
    assert last['val_loss'] == pytest.approx(expected, abs=1e-6)


BAD = {
    'shape': 'import torch\nclass N(torch.nn.Conv2d):\n    def __init__(self):\n'
             '        super().__init__(2, 3, 1)\n    def forward(self, t, v):\n'
             '        return super().forward(torch.cat((t, v), 1))\n',
    'error': 'import torch\nclass N(torch.nn.Module):\n    def forward(self, t, v):\n'
             '        raise RuntimeError("odd")\n',
    'import': 'import nowhere_to_be_found\n',
    'name': 'M = 3\n',
    'syntax': 'class N(:\n',
}  # fmt: skip


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('shape', r"returns \(1, 3, 40, 56\) .*must return the fused image in visible's shape"),
        ('error', r"failed on thermal \(1, 1, 40, 56\) and visible \(1, 1, 40, 56\): 'odd'"),
        ('import', r"cannot be loaded: ModuleNotFoundError: No module named 'nowhere"),
        ('name', r"net.py has no 'N'; it has M"),
        ('syntax', r'cannot be loaded: SyntaxError'),
        (None, r'none.py does not exist'),
    ],
)
def test_a_network_that_is_none_is_told(tmp_path, data, capsys, kind, message):
    file = tmp_path / ('net.py' if kind else 'none.py')
    if kind:
        file.write_text(BAD[kind])
    assert train(data, tmp_path / 'run', f'network={file}:N') == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'run/last.state').exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    [('mobilefus', "did you mean 'mobilefuse'"), ('nowhere.module:Net', 'cannot be loaded')],
)
def test_names_that_are_not_there(tmp_path, data, capsys, text, message):
    assert train(data, tmp_path / 'run', f'network={text}') == 2
    assert message in capsys.readouterr().err


def test_a_plain_function_is_a_metric_too(tmp_path):
    from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate, own_metric

    file = tmp_path / 'mine.py'
    file.write_text('def middle(images):\n    return float(images.f.image.mean())\n')
    assert own_metric(f'{file}:middle') == 'middle'
    image = np.full((40, 50), 7, np.uint8)
    assert evaluate(Triple(SourcePair(image, image), image), metrics=['middle']) == {'middle': 7.0}
    with pytest.raises(UserError, match='there is no metric'):
        own_metric('nothing')


COLOURFUL = """
import torch
class Net(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(4, 3, 1)
    def forward(self, thermal, visible):
        return visible + 0.1 * super().forward(torch.cat((thermal, visible), 1))
"""


def test_a_network_that_fuses_colour(tmp_path, capsys):
    """Visible as RGB: our terms are of its luma, chroma holds the colour, the model takes RGB."""
    data = write_pairs(tmp_path / 'tiny')
    for split in ('train', 'val'):
        for path in (data / split / 'vis').iterdir():
            image = cv2.imread(str(path))
            image[..., 0] //= 2  # little blue
            cv2.imwrite(str(path), image)
    (tmp_path / 'net.py').write_text(COLOURFUL)
    words = [f'network={tmp_path}/net.py:Net', 'visible=colour', 'fusion.weights.chroma=5']
    assert train(data, tmp_path / 'run', *words) == 0
    last = rows(tmp_path / 'run')[-1]
    assert float(last['val_chroma']) < 0.1 and float(last['val_ssim']) > 0
    assert cv2.imread(str(tmp_path / 'run/samples/0000008.png')).std(axis=2).max() > 5
    fuser = Fuser.load(str(tmp_path / 'run'), allow_unlisted=True)
    assert fuser.kind == 'colour'
    visible = cv2.imread(str(data / 'val/vis/s4.png'))
    thermal = cv2.imread(str(data / 'val/ir/s4.png'), cv2.IMREAD_GRAYSCALE)
    fused = fuser.fuse(visible, thermal)
    assert fused.shape == visible.shape
    assert fused[..., 0].mean() < fused[..., 2].mean()
    assert train(data, tmp_path / 'grey', words[0]) == 2
    assert 'failed on thermal (1, 1, 40, 56) and visible (1, 1, 40, 56)' in capsys.readouterr().err
