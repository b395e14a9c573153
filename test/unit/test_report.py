"""The report: one file that needs nothing else, with the numbers it was given."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from multimodal_fusion.evaluate.report import markdown_table, write_report

ARTEFACTS = Path(__file__).parents[2] / 'build' / 'test_artefacts'

METRICS = [
    {'name': name, 'label': label, 'higher_is_better': higher, 'text': f'{name} of F.'}
    for name, label, higher in (
        ('EN', 'entropy, bit', True),
        ('CE', 'cross entropy, bit', False),
        ('SCD', 'correlations of differences', True),
    )
]


def score(mean):
    if mean is None:
        return {'mean': None, 'low': None, 'high': None, 'count': 0, 'left_out': 3}
    return {'mean': mean, 'low': mean - 0.1, 'high': mean + 0.1, 'count': 3, 'left_out': 0}


def make(models=('net<1>', 'max', 'average'), images=3, sequence=None):
    """Means by hand: EN 7, 6, 6 (best net, second the two others); CE 0.5, 0.2, 0.9 (best max)."""
    means = {'EN': [7.0, 6.0, 6.0], 'CE': [0.5, 0.2, 0.9], 'SCD': [1.5, None, 1.0]}
    summary = {
        name: {metric: score(values[i % 3]) for metric, values in means.items()}
        for i, name in enumerate(models)
    }
    values = {n: {m: s[m]['mean'] for m in s} for n, s in summary.items()}
    return {
        'package': {'name': 'multimodal_fusion', 'version': '0.1.0', 'commit': 'abc'},
        'command': 'python -m multimodal_fusion evaluate --data "a & b"',
        'definition': 'ours', 'definition_text': 'textbook form', 'protocol': None,
        'versions': {'python': '3', 'numpy': '2', 'opencv': '4', 'onnxruntime': None},
        'metrics': METRICS,
        'data': {'name': 'night & day', 'kind': 'folders', 'images': images, 'left_out': []},
        'models': [
            {'name': n, 'kind': 'luma', 'source': 'learned', 'parameters': 113, 'sha256': None,
             'baseline': i > 0}
            for i, n in enumerate(models)
        ],
        'images': [
            {'stem': f'{i:04d}', 'width': 64, 'height': 48, 'values': values,
             **({'time': float(i)} if sequence else {})}
            for i in range(images)
        ],
        'summary': summary,
        'ranks': {n: {'EN': i + 1, 'CE': i + 1, 'SCD': i + 1} for i, n in enumerate(models)},
        'average_rank': {n: float(i + 1) for i, n in enumerate(models)},
        'sequence': sequence,
    }  # fmt: skip


TIMING = {'machine': 'x', 'date': '2026-01-01', 'threads': 1,
          'milliseconds': {'net<1>': {'median': 9.0, 'p95': 10.0},
                           'max': {'median': 0.5, 'p95': 0.6}}}  # fmt: skip
SEQUENCE = {
    'duration': 10.0, 'pairs': 30, 'unpaired': {'rgb': 3, 'thermal': 0}, 'resets': 1,
    'duplicate': {'rgb': 0, 'thermal': 0}, 'late': {'rgb': 0, 'thermal': 0},
    'gap_ms': {'median': 4.0, 'p95': 9.0, 'max': 16.0}, 'flicker': {'max': 0.1},
    'timeline': [{'time': i / 3, 'gap_ms': float(i % 5), 'frozen': 9 < i < 13,
                  'evaluated': i % 10 == 0} for i in range(30)],
    'freezes': [{'start': 3.0, 'end': 4.2}], 'gaps': [{'start': 6.0, 'end': 7.0}],
}  # fmt: skip


def picture(stem, name):
    image = np.full((48, 64), len(stem + name) * 3 % 255, np.uint8)
    return cv2.putText(image, name[:6], (2, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255)


class Page(HTMLParser):
    """What the tests look at: elements, ids, links, the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.cells = [], [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs['id']] if 'id' in attrs else []
        self.links += [attrs[key] for key in ('src', 'href') if key in attrs]
        if tag in ('td', 'th'):
            self._cell = [attrs.get('class') or '', '']
            self.cells.append(self._cell)

    def handle_endtag(self, tag):
        if tag in ('td', 'th'):
            self._cell = None

    def handle_data(self, text):
        if self._cell is not None:
            self._cell[1] += text


@pytest.fixture
def written(tmp_path):
    def write(results, timing=TIMING):
        write_report(tmp_path / 'report.html', results, timing, picture)
        return (tmp_path / 'report.html').read_text()

    return write


@pytest.mark.parametrize('sequence', [None, SEQUENCE])
def test_one_file_that_needs_nothing_else(written, sequence):
    text = written(make(sequence=sequence))
    page = Page(text)
    assert all(link.startswith(('data:', '#')) for link in page.links)
    assert not re.search(r'https?://(?!www\.w3\.org)', text)
    assert len(page.ids) == len(set(page.ids)), 'ids must be unique'
    assert set(re.findall(r"byId\('([\w-]+)'\)", text)) - set(page.ids) <= {
        'picture-metric', 'extreme-list', 'copy', 'time-plots', 'pictures',
    }  # fmt: skip
    assert {'summary', 'distributions', 'cost', 'definitions', 'origin'} <= set(page.ids)
    assert ('time-line' in page.ids) == bool(sequence)
    assert page.tags.count('img') == 3 * 5  # RGB, thermal and three methods of three images


def test_numbers_and_marks(written):
    page = Page(written(make()))
    best = {text for kind, text in page.cells if 'best' in kind.split()}
    assert any(text.startswith('7.0') for text in best)
    assert any(text.startswith('0.2') for text in best), 'lower is better for CE'
    assert not any(text.startswith('0.9') for text in best)


def test_names_are_escaped_and_the_same_input_gives_the_same_bytes(written):
    text = written(make())
    assert '<1>' not in text.replace('&lt;1&gt;', '') and 'net&lt;1&gt;' in text
    assert 'night &amp; day' in text
    assert text == written(make())


@pytest.mark.parametrize('results', [make(models=('a',), images=1), make(images=0),
                                     make(models=tuple('abcdefghijkl'), images=200)],
                         ids=['one', 'none', 'many'])  # fmt: skip
def test_few_and_many(written, results):
    text = written(results, {})
    assert Page(text).tags.count('img') <= 60
    assert len(text) < 15e6


def test_markdown():
    lines = [line for line in markdown_table(make(), TIMING).splitlines() if line.startswith('|')]
    net, highest = lines[2], next(line for line in lines if '| max' in line)
    assert '**7.0' in net and '**7.0' not in highest
    assert '**0.2' in highest and 'EN ↑' in lines[0] and 'CE ↓' in lines[0]
    assert json.dumps(make())  # the contract: results are JSON


@pytest.mark.skipif(not shutil.which('chromium'), reason='Chromium (Debian package) not installed')
@pytest.mark.parametrize('sequence', [None, SEQUENCE], ids=['folders', 'bag'])
def test_it_shows_something_in_a_browser_and_its_script_runs(written, tmp_path, sequence):
    """The script fills the list of best and worst images and the layers' values."""
    written(make(sequence=sequence))
    flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
             '--disable-background-networking', '--disable-component-update', '--disable-sync',
             f'--user-data-dir={tmp_path / "profile"}', '--window-size=1300,3000']  # fmt: skip
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    shot = ARTEFACTS / f'report_{"bag" if sequence else "folders"}.png'
    page = (tmp_path / 'report.html').as_uri()
    for option in (f'--screenshot={shot}', '--dump-dom'):
        done = subprocess.run(
            ['chromium', *flags, option, page], capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
    pixels = cv2.imread(str(shot))
    assert pixels.std() > 5 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert re.search(r'id="extreme-list"[^>]*><h3>Best</h3><button', done.stdout)
    assert re.search(r'<output>[\d.]+</output>', done.stdout)
