"""Results of evaluations made up for tests of the report, and a parser of what it writes."""

import json
from html.parser import HTMLParser

import numpy as np

METRICS = {'VIF': True, 'CE': False, 'MI': True}
VOID = {'meta', 'link', 'img', 'br', 'input'}


def make_results(models=('net', 'max', 'average'), images=6, metrics=METRICS, seed=0, **more):
    """Results in the evaluator's form; the first model is learned, the others are baselines."""
    rng = np.random.default_rng(seed)
    names = [f'scene_{index:03d}' for index in range(images)]
    records = [
        {
            'stem': name,
            'width': 64,
            'height': 48,
            'values': {m: {k: round(float(rng.uniform(0, 4)), 6) for k in metrics} for m in models},
        }
        for name in names
    ]
    results = {
        'package': {'name': 'multimodal_fusion', 'version': '0.1.0', 'commit': 'abc1234'},
        'command': 'python -m multimodal_fusion evaluate --data DIR --models net',
        'definition': 'ours',
        'definition_text': 'textbook form',
        'protocol': None,
        'versions': {'python': '3.11', 'numpy': '2.0', 'opencv': '4.10', 'onnxruntime': '1.20'},
        'metrics': [
            {'name': k, 'label': f'label of {k}', 'higher_is_better': up, 'text': f'Text of {k}.'}
            for k, up in metrics.items()
        ],
        'data': {'name': 'ivif/val', 'kind': 'folders', 'images': images, 'left_out': []},
        'models': [
            {
                'name': m,
                'kind': 'luma',
                'source': 'classical' if index else 'learned',
                'parameters': 0 if index else 113,
                'sha256': None if index else 'e8' * 32,
                'baseline': index > 0,
            }
            for index, m in enumerate(models)
        ],
        'images': records,
        'sequence': None,
    } | more
    return summarise(results)


def summarise(results):
    """Fill in summary and ranks from the values of the images."""
    models = [model['name'] for model in results['models']]
    summary = {}
    for model in models:
        summary[model] = {}
        for metric in results['metrics']:
            values = [image['values'][model].get(metric['name']) for image in results['images']]
            known = [value for value in values if value is not None]
            mean = float(np.mean(known)) if known else None
            low, high = (mean - 0.25, mean + 0.25) if known else (None, None)
            out = len(values) - len(known)
            entry = {'mean': mean, 'low': low, 'high': high, 'count': len(known), 'left_out': out}
            summary[model][metric['name']] = entry
    ranks = {model: {} for model in models}
    for metric in results['metrics']:
        sign = -1 if metric['higher_is_better'] else 1
        means = {m: summary[m][metric['name']]['mean'] for m in models}
        means = {m: sign * mean for m, mean in means.items() if mean is not None}
        for model, mean in means.items():
            ranks[model][metric['name']] = 1 + sum(other < mean for other in means.values())
    average = {m: float(np.mean(list(r.values()))) if r else None for m, r in ranks.items()}
    results |= {'summary': summary, 'ranks': ranks, 'average_rank': average}
    return results


def as_sequence(results, pairs=200):
    """Results of a bag: times, a timeline with a freeze, a gap and a jump back."""
    for index, image in enumerate(results['images']):
        image['time'] = index * 2.5
    times = [index * 0.1 for index in range(pairs - 20)] + [index * 0.1 for index in range(20)]
    results['data']['kind'] = 'bag'
    results['sequence'] = {
        'duration': pairs * 0.1,
        'pairs': pairs,
        'unpaired': {'rgb': 7, 'thermal': 1},
        'resets': 1,
        'duplicate': {'rgb': 0, 'thermal': 2},
        'late': {'rgb': 0, 'thermal': 0},
        'gap_ms': {'median': 4.0, 'p95': 9.5, 'max': 33.25},
        'flicker': {model['name']: 0.5 + n for n, model in enumerate(results['models'])},
        'timeline': [
            {'time': t, 'gap_ms': (n * 7) % 33 - 8.0, 'frozen': 3 < t < 4, 'evaluated': n % 25 == 0}
            for n, t in enumerate(times)
        ],
        'freezes': [{'start': 3.0, 'end': 4.0}],
        'gaps': [{'start': 6.0, 'end': 7.25}],
    }
    return results


def make_timing(models=('net', 'max')):
    times = {m: {'median': 12.5 / 4**n, 'p95': 14.0} for n, m in enumerate(models)}
    return {'machine': 'a CPU', 'date': '2025-01-01', 'threads': 1, 'milliseconds': times}


def picture(stem, name):
    """A picture that differs by scene and layer: grey for thermal, colour for others."""
    seed = sum(map(ord, stem + name)) % 251
    grey = np.add.outer(np.arange(48) * 3, np.arange(64) * 2 + seed).astype(np.uint8)
    return grey if name == 'thermal' else np.dstack([grey, 255 - grey, grey // 2])


class Page(HTMLParser):
    """A parsed report: elements with their attributes, table cells, and what isn't well formed."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.rows, self.scripts = [], [], [], []
        self.texts = []
        self.feed(html)
        self.close()
        assert not self.open, f'not closed: {self.open}'

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append((dict(attrs), []))
        if tag == 'script':
            self.scripts.append('')

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f'{tag} closes {self.open[-3:]}'
        self.open.pop()

    def handle_data(self, data):
        if 'script' in self.open:
            self.scripts[-1] += data
        elif 'style' not in self.open:
            self.texts.append(data)
            if 'td' in self.open or 'th' in self.open:
                self.rows[-1][-1][1].append(data)

    @property
    def text(self):
        return ' '.join(self.texts)

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]

    def data(self):
        return json.loads(self.scripts[0])

    def cell(self, model, column):
        """Attributes and texts of one cell of the summary."""
        heads = [''.join(texts) for _, texts in self.rows[0]]
        at = next(i for i, head in enumerate(heads) if head.split('\u2009')[0] == column)
        return next(row for row in self.rows[1:] if row[0][1][0] == model)[at]
