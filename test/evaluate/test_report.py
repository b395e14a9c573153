"""The report: one file that needs nothing else, right numbers, right marks, any results."""

import base64
import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from multimodal_fusion.evaluate.report import markdown_table, write_report
from multimodal_fusion.evaluate.report.charts.svg import Scale
from multimodal_fusion.evaluate.report.pictures import LONG_SIDE, PICTURES, encode, extremes, scenes
from multimodal_fusion.evaluate.report.view import View, decimals_for, mark

from ..helpers.reports import (
    METRICS,
    Page,
    as_sequence,
    make_results,
    make_timing,
    picture,
    summarise,
)

needs_chromium = pytest.mark.skipif(
    shutil.which('chromium') is None, reason='needs Chromium: apt-get install chromium'
)


ARTEFACTS = Path(__file__).parents[2] / 'build' / 'test_artefacts'


def report(tmp_path, results, timing=None, shown=picture):
    path = tmp_path / 'report.html'
    write_report(path, results, make_timing() if timing is None else timing, shown)
    return path.read_text(encoding='utf-8')


def test_needs_nothing_but_itself(tmp_path):
    html = report(tmp_path, as_sequence(make_results()))
    page = Page(html)
    assert not re.search(r'https?://', html) and '@import' not in html
    assert not re.search(r'url\(', html)
    for value in page.attributes('src'):
        assert value.startswith('data:image/jpeg;base64,')
    for value in page.attributes('href'):
        assert value.startswith(('#', 'data:'))
    csp = next(a['content'] for _, a in page.elements if 'http-equiv' in a)
    assert "default-src 'none'" in csp
    assert not {'iframe', 'object', 'embed'} & {name for name, _ in page.elements}


def test_links_and_ids_fit(tmp_path):
    page = Page(report(tmp_path, as_sequence(make_results())))
    ids = page.attributes('id')
    assert len(ids) == len(set(ids))
    links = [href[1:] for href in page.attributes('href') if href.startswith('#')]
    assert len(links) == 8 and set(links) <= set(ids)
    script = page.scripts[1]
    assert set(re.findall(r"byId\('([\w-]+)'\)", script)) <= set(ids)


def test_same_bytes_for_the_same_input(tmp_path):
    results = as_sequence(make_results())
    first = report(tmp_path, results)
    reordered = json.loads(json.dumps(results))
    assert report(tmp_path, reordered) == first
    assert markdown_table(results) == markdown_table(reordered)


def test_results_are_left_as_they_were(tmp_path):
    results = make_results()
    before = copy.deepcopy(results)
    report(tmp_path, results)
    markdown_table(results, make_timing())
    assert results == before


def test_numbers_are_there_and_right(tmp_path):
    results = make_results()
    page = Page(report(tmp_path, results))
    for model in ('net', 'max', 'average'):
        for metric in METRICS:
            mean = results['summary'][model][metric]['mean']
            attrs, texts = page.cell(model, metric)
            assert texts[0] == f'{mean:.3f}' and texts[1] == '±0.250'
            assert float(attrs['data-v']) == mean
            rank = results['ranks'][model][metric]
            assert f'rank {rank} of 3' in attrs['data-tip']
            assert f'{mean - 0.25:.3f}–{mean + 0.25:.3f}' in attrs['data-tip']
        assert page.cell(model, 'Rank')[1] == [f'{results["average_rank"][model]:.2f}']
    assert page.cell('net', 'ms')[1] == ['12.5', '14.0']
    assert page.cell('average', 'ms')[1] == ['–']
    for text in ('Text of CE.', 'abc1234', 'textbook form', '4.10', results['command'], 'e8' * 32):
        assert text in page.text


def set_means(results, metric, means):
    for model, mean in means.items():
        results['summary'][model][metric]['mean'] = mean
        results['ranks'][model][metric] = 1
    return results


@pytest.mark.parametrize(
    'metric, means, best, second',
    [
        ('VIF', (0.5, 0.75, 0.25), ['max'], ['net']),
        ('CE', (0.5, 0.75, 0.25), ['average'], ['net']),
        ('VIF', (0.5, 0.5, 0.25), ['net', 'max'], []),
        ('CE', (0.5, 0.75, 0.75), ['net'], ['max', 'average']),
        ('VIF', (0.5, None, 0.25), ['net'], ['average']),
        ('VIF', (0.5, None, None), [], []),
        ('CE', (-1.0, 0.0, 2.0), ['net'], ['max']),
    ],
)
def test_best_and_second_best(tmp_path, metric, means, best, second):
    names = ('net', 'max', 'average')
    results = set_means(make_results(), metric, dict(zip(names, means, strict=True)))
    page = Page(report(tmp_path, results))
    classes = {name: page.cell(name, metric)[0].get('class') for name in names}
    assert [name for name in names if classes[name] == 'best'] == best
    assert [name for name in names if classes[name] == 'second'] == second
    rows = [[c.strip() for c in r.split('|')[1:-1]] for r in markdown_table(results).splitlines()]
    at = next(i for i, head in enumerate(rows[0]) if head.startswith(metric + ' '))
    cells = {row[0].removesuffix(' †'): row[at] for row in rows[2:5]}
    assert [name for name in names if cells[name].startswith('**')] == best
    assert [name for name in names if re.match(r'\*[^*]', cells[name])] == second


def test_models_without_a_rank_are_not_marked():
    results = set_means(make_results(), 'VIF', {'net': 0.5, 'max': 0.25, 'average': 0.75})
    del results['ranks']['average']['VIF']
    view = View(results)
    assert view.marks(view.metrics[0]) == {'net': 'best', 'max': 'second'}


def test_marks_of_equal_values():
    assert mark({'a': 1.0, 'b': 1.0, 'c': 1.0}, True) == dict.fromkeys('abc', 'best')
    assert mark({'a': 1.0}, True) == {} and mark({}, False) == {}


def test_names_are_escaped(tmp_path):
    evil = '<img src=x onerror=alert(1)>&"\'</script>|*'
    results = make_results(models=(evil, 'b'))
    results['images'][0]['stem'] = evil
    results['data'] |= {'name': evil, 'left_out': [evil]}
    results['metrics'][0] |= {'label': evil, 'text': evil}
    results['command'] = results['definition_text'] = evil
    results = as_sequence(results)
    html = report(tmp_path, results, make_timing((evil,)) | {'machine': evil})
    page = Page(html)
    assert '<img src=x' not in html and not page.attributes('onerror')
    assert len(page.scripts) == 2 and evil in page.data()['curves']['models']
    assert page.cell(evil, 'VIF')[1][0]
    table = markdown_table(results, make_timing((evil,)))
    lines = table.splitlines()
    cells = {len(re.findall(r'(?<!\\)\|', line)) for line in lines[:4]}
    assert len(cells) == 1 and r'\<img' in lines[2]


def test_metric_and_model_names_with_markup_are_escaped(tmp_path):
    html = report(tmp_path, make_results(metrics={'<b>': True}))
    assert '<b></b>' not in html and Page(html).cell('net', '<b>')


def test_missing_values_are_counted_and_left_out(tmp_path):
    results = make_results()
    results['images'][0]['values']['net']['MI'] = None
    for image in results['images']:
        image['values']['max']['MI'] = None
        del image['values']['average']['CE']
    results = summarise(results)
    page = Page(report(tmp_path, results))
    assert page.cell('max', 'MI')[1] == ['–'] and page.cell('max', 'MI')[0]['data-v'] == ''
    assert '*' in page.cell('net', 'MI')[1] and '5 images' in page.cell('net', 'MI')[0]['data-tip']
    assert 'net 1 of 6, max 6 of 6' in page.text
    assert 'MI of max on 6 of 6 images' in markdown_table(results)
    assert 'nan' not in page.text.lower()


@pytest.mark.parametrize('sequence', [False, True])
@pytest.mark.parametrize(
    'models, images',
    [(('net',), 1), (('net',), 0), (('net', 'max'), 2), (tuple(f'm{n}' for n in range(12)), 200)],
)
def test_any_number_of_models_and_images(tmp_path, models, images, sequence):
    results = make_results(models, images)
    results = as_sequence(results) if sequence else results
    calls = []

    def counted(stem, name):
        calls.append((stem, name))
        return picture(stem, name)

    html = report(tmp_path, results, make_timing(models), counted)
    page = Page(html)
    assert page.cell(models[0], 'VIF')
    assert 'NaN' not in html.split('<script>')[0] and 'nan' not in ' '.join(page.attributes('d'))
    assert len(calls) == len(set(calls)) == len(page.attributes('src')) <= PICTURES
    assert len(markdown_table(results).splitlines()) == len(models) + 4


def test_all_values_missing_and_all_equal(tmp_path):
    results = make_results(images=5)
    for image in results['images']:
        for model in image['values']:
            image['values'][model] = {'VIF': None, 'CE': 2.0, 'MI': 0.0}
    page = Page(report(tmp_path, as_sequence(summarise(results))))
    assert page.cell('net', 'VIF')[1] == ['–'] and page.cell('net', 'CE')[1][0] == '2.000'


def test_no_timing_no_metrics(tmp_path):
    assert Page(report(tmp_path, make_results(), {})).cell('net', 'ms')[1] == ['–']
    Page(report(tmp_path, make_results(metrics={}), {}))


def test_sequence_shows_freezes_gaps_and_flicker(tmp_path):
    page = Page(report(tmp_path, as_sequence(make_results())))
    tips = page.attributes('data-tip')
    assert any('frozen\n3.00–4.00 s' in tip for tip in tips)
    assert any('no pairs\n6.00–7.25 s' in tip for tip in tips)
    assert 'rgb 7, thermal 1' in page.text and 'max 33.2' in page.text
    assert page.cell('net', 'flicker')[0]['class'] == 'best'
    curves = page.data()['curves']
    assert curves['time'][1] == '2.50 s' and len(curves['values']['VIF'][0]) == 6
    assert page.cell('max', 'flicker')[1][0] == '1.500'


def test_long_bags_make_small_files(tmp_path):
    results = as_sequence(make_results(), pairs=100_000)
    assert len(report(tmp_path, results)) < 600_000


def test_markdown_with_times_and_without():
    results = make_results()
    assert ' ms ' not in markdown_table(results)
    table = markdown_table(results, make_timing())
    assert '12.5' in table and 'a CPU, 1 thread' in table
    lines = table.splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[0].startswith('| model') and 'CE ↓' in lines[0] and 'VIF ↑' in lines[0]
    assert lines[2].startswith('| net ') and lines[3].startswith('| max † ')
    assert '113' in lines[2]


def test_scenes_hold_the_extremes_of_the_model_in_front():
    results = make_results(models=('net', 'max', 'average'), images=40)
    view = View(results)
    for metric in view.metrics[:2]:
        values = view.values('net', metric.name)
        best, worst = extremes(view, 'net', metric)
        order = sorted(range(40), key=lambda i: values[i], reverse=metric.higher_is_better)
        assert best == order[:3] and worst == order[:-4:-1]
    shown = {scene.index: scene.names for scene in scenes(view)}
    best, worst = extremes(view, 'net', view.default)
    for index in best + worst:
        assert {'visible', 'thermal', 'net'} <= set(shown[index])
    assert sum(map(len, shown.values())) <= PICTURES


def test_a_source_as_baseline_is_shown_once():
    view = View(make_results(models=('net', 'visible', 'thermal'), images=1))
    assert scenes(view)[0].names == ['visible', 'thermal', 'net']


def decode(uri):
    data = np.frombuffer(base64.b64decode(uri.split(',')[1]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def test_pictures_are_small_and_right():
    wide = np.zeros((300, 1280, 3), np.uint8)
    wide[:, 640:] = (0, 0, 255)
    small = decode(encode(wide))
    assert small.shape == (150, LONG_SIDE, 3)
    assert abs(small[75, 500].astype(int) - (0, 0, 255)).max() < 6
    assert decode(encode(wide[:64, :64, 0])).shape == (64, 64)
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    assert len(encode(noise)) < 250_000


def test_scales():
    scale = Scale.fit([1.0, 3.0], 0, 100, pad=0.0)
    assert scale(2.0) == 50
    assert [label for _, label in scale.ticks(4)] == ['1.0', '1.5', '2.0', '2.5', '3.0']
    log = Scale.fit([0.1, 1000.0], 0, 400, log=True, pad=0.0)
    assert log(1.0) == pytest.approx(100)
    assert [label for _, label in log.ticks()] == ['0.1', '1', '10', '100', '1000']
    assert Scale.fit([5.0, 5.0], 0, 10)(5.0) == pytest.approx(5)
    assert Scale.fit([], 0, 10)(0.5) == pytest.approx(5)


@pytest.mark.parametrize(
    'values, decimals',
    [
        ([6.5, 7.1], 3),
        ([26.1], 2),
        ([640.0], 1),
        ([3107.0], 0),
        ([0.57], 3),
        ([0.0079], 5),
        ([], 3),
    ],
)
def test_decimals(values, decimals):
    assert decimals_for([*values, None]) == decimals


def chromium(tmp_path, path, *options):
    command = ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic']
    command += ['--no-first-run', '--disable-background-networking', '--disable-component-update']
    command += ['--disable-sync', f'--user-data-dir={tmp_path / "profile"}', '--hide-scrollbars']
    command += ['--virtual-time-budget=3000', '--window-size=1280,1600', *options, f'file://{path}']
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@needs_chromium
def test_chromium_draws_it(tmp_path):
    report(tmp_path, as_sequence(make_results()))
    shot = ARTEFACTS / 'report.png'  # kept, to be looked at
    shot.parent.mkdir(parents=True, exist_ok=True)
    chromium(tmp_path, tmp_path / 'report.html', f'--screenshot={shot}')
    image = cv2.imread(str(shot))
    assert image.shape[:2] == (1600, 1280)
    bands = image.reshape(16, 100, 1280, 3).std(axis=(1, 2, 3))
    assert (bands > 3).sum() >= 12, 'parts of the page are blank'
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 200


@needs_chromium
def test_chromium_runs_its_script(tmp_path):
    report(tmp_path, as_sequence(make_results()))
    page = Page(chromium(tmp_path, tmp_path / 'report.html', '--dump-dom'))
    cards = [a for name, a in page.elements if name == 'button' and a.get('class') == 'card']
    assert len(cards) == 6
    pressed = [a for _, a in page.elements if a.get('aria-pressed') == 'true' and 'data-layer' in a]
    assert len(pressed) == 1 and pressed[0]['data-layer'] == '0'
