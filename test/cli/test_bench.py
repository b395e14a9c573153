"""bench: figures of every way to run a fuser, a table, a comparison, refusals."""

import json

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.benchmark import table
from multimodal_fusion.benchmark.floor import Floor
from multimodal_fusion.benchmark.fusers import BenchPlan, Case, Way, images, ratios, ways
from multimodal_fusion.fusers.kernel.library import library

# PyTorch takes seconds to start in each of the measuring processes.
SMALL = ['bench', '--sizes', '64x48', '--threads', '1', '--rounds', '2', '--no-torch']


def test_bench_measures_every_way_and_compares(tmp_path, capfd):
    """One small size: rows, floors and peaks as JSON; then the same again, compared."""
    assert cli.main([*SMALL, '--models', 'max,mmdrfuse_plus', '--json']) == 0
    printed = capfd.readouterr().out
    figures = json.loads(printed)
    expected = {('max', 'opencv'), ('mmdrfuse_plus', 'onnxruntime')}
    if library() is not None:
        expected.add(('mmdrfuse_plus', 'compiled'))
        if library().has_wide_vectors():
            expected.add(('mmdrfuse_plus', 'compiled, float32'))
    assert {(row['model'], row['runs']) for row in figures['rows']} == expected
    assert len(figures['rows']) == 2 * len(expected)  # luma and colour
    for row in figures['rows']:
        low, high = row['quartiles_ms']
        assert 0 < row['fastest_tenth_ms'] <= low <= row['median_ms'] <= high
        assert row['median_ms'] <= row['p95_ms'] <= row['p99_ms']
        assert row['fps'] == pytest.approx(1e3 / row['median_ms'], rel=0.01)
        assert row['frames'] == 10 and row['cpu_ms'] > 0 and row['peak_mb'] > 10
        assert (row['times_sgemm'] is None) == (row['model'] == 'max')
        assert (row['times_luma'] is None) == (row['input'] == 'luma')
        alone = row['model'] == 'max' or row['runs'] == 'onnxruntime'
        assert (row['faster_than_onnxruntime'] is None) == alone
        assert row['faster_than_one_thread'] is None
    moved = {floor['input']: floor['bytes'] for floor in figures['floors']}
    assert moved == {'luma': 3 * 64 * 48, 'colour': 7 * 64 * 48}
    times, ratios = (part.splitlines() for part in table.table(figures).split('\n\n'))
    assert len(set(map(len, times))) == len(set(map(len, ratios))) == 1  # aligned
    assert len(times) == len(ratios) + 2 * len(figures['floors']) == 2 + len(figures['rows']) + 4

    earlier = tmp_path / 'earlier.json'
    earlier.write_text(printed)
    arguments = ['--models', 'max', '--input', 'luma', '--compare', str(earlier)]
    assert cli.main([*SMALL, *arguments]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3 and 'times faster' in lines[0] and lines[2].startswith('| max')


def test_ratios_are_those_of_the_rounds():
    """2, 8 and 3 ms beside 1, 4 and 3 in the same rounds: twice as long; both medians are 3."""

    def case(threads, kind, *rounds):
        way = Way('m', 'compiled', threads, lambda: None, macs=108)
        seconds = [[ms * 1e-3] * 5 for ms in rounds]
        return Case(way, kind, None, seconds, [], [1e-3] * 3, [0.5e-3] * 3)

    slow, fast = case(1, 'luma', 2, 8, 3), case(2, 'luma', 1, 4, 3)
    colour = case(2, 'colour', 3, 12, 9)
    cases = [slow, fast, colour]
    assert slow.over(fast) == 2.0 and fast.over(slow) == 0.5
    assert ratios(fast, cases) == {
        'times_copy': 3.0,
        'times_sgemm': 6.0,
        'times_luma': None,
        'faster_than_onnxruntime': None,
        'faster_than_pytorch': None,
        'faster_than_one_thread': 2.0,
    }
    assert ratios(colour, cases)['times_luma'] == 3.0
    assert ratios(slow, cases)['faster_than_one_thread'] is None


def test_pytorch_runs_the_same_network():
    pytest.importorskip('torch')
    plan = BenchPlan(['mmdrfuse', 'mmdrfuse_plus'], ['cpu'], [(64, 48)], [1], ['luma'], 1)
    found = {(way.model, way.runs): way for way in ways(plan)}
    for model in plan.models:
        pytorch, onnx = (found[model, runs].load() for runs in ('pytorch', 'onnxruntime'))
        for visible, thermal in images((64, 48), 'luma'):
            fused = pytorch.fuse(visible, thermal).astype(int)
            assert np.abs(fused - onnx.fuse(visible, thermal)).max() <= 1
            assert fused.std() > 10


def test_a_comparison_divides_by_the_floors():
    """10 ms before, 2 ms after: 5 times; the machine itself was twice as fast: 2.5 times."""
    row = {'model': 'm', 'runs': 'compiled', 'input': 'luma', 'size': '64x48', 'threads': 1}
    floor = {'input': 'luma', 'size': '64x48', 'threads': 1}
    before, after = (
        {'rows': [{**row, 'median_ms': ms}], 'floors': [{**floor, 'sgemm_ms': sgemm}]}
        for ms, sgemm in ((10.0, 2.0), (2.0, 1.0))
    )
    cells = [cell.strip() for cell in table.comparison(before, after).splitlines()[2].split('|')]
    assert cells[6:10] == ['10', '2', '5.00', '2.50']


def test_floors_grow_with_the_work():
    floor = Floor(threads=2)
    assert min(floor.copy_seconds(50_000_000) for _ in range(3)) > min(
        floor.copy_seconds(50_000) for _ in range(3)
    )
    assert floor.multiply_seconds(10**6) > 0


@pytest.mark.skipif(library() is None, reason='the kernel is not built')
def test_agreement_counts_the_pixels_that_differ(tmp_path, capsys):
    """On noise and on a folder, of 70 x 50 pixels; classical fusers have nothing to agree with."""
    random = np.random.default_rng(0)
    for name in ('ir', 'vis'):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'a.png'), random.integers(0, 256, (50, 70), np.uint8))
    models = ['--models', 'max,mmdrfuse,mmdrfuse_plus']
    assert cli.main(['bench', 'agreement', *models, '--images', str(tmp_path), '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    kinds = ['float32', '16-bit'] if library().has_wide_vectors() else ['float32']
    assert [(row['model'], row['images'], row['arithmetic']) for row in rows] == [
        (model, images, kind)
        for model in ('mmdrfuse', 'mmdrfuse_plus')
        for images in ('noise', 'pairs')
        for kind in kinds
    ]
    for row in rows:
        assert row['pixels'] == (3500 if row['images'] == 'pairs' else 4 * 640 * 480)
        assert row['most levels'] <= 1 and row['% within one level'] == 100
        assert 95 < row['% equal'] <= 100 and abs(row['mean difference']) < 0.05
    thermal = random.integers(0, 60000, (50, 70), np.uint16)
    cv2.imwrite(str(tmp_path / 'ir/a.png'), thermal)
    assert cli.main(['bench', 'agreement', '--images', str(tmp_path)]) == 2
    assert 'is uint16; --images needs 8-bit thermal images' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--sizes', '64'], "--sizes has '64'; give WIDTHxHEIGHT of at least 32x32"),
        (['--sizes', '16x480'], "--sizes has '16x480'"),
        (['--threads', '0'], "--threads has '0'; give whole numbers from 1 on"),
        (['--rounds', '0'], "--rounds has '0'"),
        (['--input', 'grey'], "--input has 'grey'; name of luma, colour"),
        (['--provider', 'tpu'], "--provider has 'tpu'; name of cpu, cuda, tensorrt"),
        (['--models', 'mmdrfusion'], "there is no model 'mmdrfusion'"),
        (['--compare', 'missing.json'], 'missing.json cannot be read'),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message, capsys):
    assert cli.main([*SMALL, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_holds_no_figures(tmp_path, capsys):
    path = tmp_path / 'x.json'
    for content in ('[]', '{"rows": []}', 'no'):
        path.write_text(content)
        assert cli.main([*SMALL, '--compare', str(path)]) == 2
        assert 'does not hold what "bench --json" prints' in capsys.readouterr().err
