"""Collections of data sets: what each gives alone, what changed, what is damaged or odd."""

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from multimodal_fusion.cli import main
from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate import Collection, Job, evaluate_collection
from multimodal_fusion.evaluate.collection import chunks

from ..helpers.bags import scene
from .test_collection import content


def sets(folder, names=('a/one', 'b/two'), pairs=5):
    """Data sets of as many pairs, one after the other; a stem without partner, a broken image."""
    for number, name in enumerate(names):
        for kind in ('vis', 'ir'):
            (folder / name / kind).mkdir(parents=True)
        for i in range(pairs):
            images = scene(10 * number + i)
            for kind, pixels in zip(('vis', 'ir'), images, strict=True):
                cv2.imwrite(str(folder / name / kind / f'{i:03d}.png'), pixels)
    cv2.imwrite(str(folder / names[0] / 'vis/alone.png'), images[0])
    (folder / names[1] / 'ir/001.png').write_bytes(b'no picture')
    return folder


def evaluate_sets(where, out, *more):
    words = ['evaluate', '--sets', str(where), '--out', str(out), '--models', 'max,laplacian']
    return main([*words, '--no-baselines', '--metrics', 'EN,SSIM', *more])


def test_data_sets_are_cut_into_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, 'PAIRS', 2)
    share = sets(tmp_path / 'share')
    found, alone = chunks.chunks_of(str(share / 'a/one'), '')
    assert [(c.first, c.last, c.count) for c in found] == [(0, 2, 5), (2, 4, 5), (4, 5, 5)]
    assert [p.stem for c in found for p in c.pairs()] == [f'{i:03d}' for i in range(5)]
    assert alone == ['alone']


def test_data_sets_give_what_each_gives_alone(tmp_path, capsys):
    share = sets(tmp_path / 'share')
    assert evaluate_sets(share, tmp_path / 'out', '--jobs', '1') == 0
    told = capsys.readouterr()
    assert '2 data sets' in told.out and 'will be written' in told.err
    assert '1 images have no partner (alone)' in told.err
    results, _ = content(tmp_path / 'out')
    assert results['of'] == 'data_set' and results['data_sets'] == 2
    assert results['all']['pairs'] == 10 and results['unusable']['pairs'] == 1
    table = pq.read_table(tmp_path / 'out/frames.parquet').to_pydict()
    assert table['stem'] == [f'{i:03d}' for i in range(5)] * 2
    broken = [r for r in table['reason'] if r]
    assert len(broken) == 1 and '001.png' in broken[0]
    for name, group in results['by_data_set'].items():
        words = ['--models', 'max,laplacian', '--no-baselines', '--metrics', 'EN,SSIM', '--json']
        assert main(['evaluate', '--data', name, '--out', str(tmp_path / 'x'), *words]) == 0
        alone = json.loads(capsys.readouterr().out)
        for model in ('max', 'laplacian'):
            for metric in ('EN', 'SSIM'):
                mean = alone['summary'][model][metric]['mean']
                assert group['metrics'][f'{model}:{metric}']['mean'] == pytest.approx(mean)
    assert results['ranks']['max'].keys() == {'EN', 'SSIM'}
    html = (tmp_path / 'out/report.html').read_text()
    assert '2 data sets' in html and html.count('alt="visible, thermal, fused"') == 2


def test_from_python(tmp_path):
    share = sets(tmp_path / 'share')
    job = Job(models=('max',), metrics=('EN',), baselines=False, jobs=1)
    found = evaluate_collection(job, Collection.find(sets=str(share)), tmp_path / 'out')
    assert found.results['all']['measured'] == 9 and '| max' in found.table()
    for given in ({}, {'bags': 'a', 'sets': 'b'}):
        with pytest.raises(UserError, match='is of bags'):
            Collection.find(**given)


def test_what_changed_is_done_again(tmp_path):
    """A pair more, an image of other content; and what did not change is not."""
    share, out = sets(tmp_path / 'share'), tmp_path / 'out'

    def mean(name):
        assert evaluate_sets(share, out, '--jobs', '1') == 0
        found = json.loads((out / 'results.json').read_text())['by_data_set']
        return found[str(share / name)]['metrics']['max:EN']

    before, kept = mean('b/two'), mean('a/one')
    part = {path: path.stat().st_mtime_ns for path in (out / 'parts').iterdir()}
    for index, kind in enumerate(('vis', 'ir')):
        cv2.imwrite(str(share / 'b/two' / kind / '009.png'), scene(1)[index])
    grown = mean('b/two')
    assert grown['count'] == before['count'] + 1
    cv2.imwrite(str(share / 'b/two/vis/009.png'), np.zeros((48, 64, 3), np.uint8))
    assert mean('b/two')['mean'] != grown['mean'] and mean('a/one') == kept
    assert all(path.stat().st_mtime_ns == was for path, was in part.items())


def test_a_set_that_changes_while_it_is_measured(tmp_path):
    share = sets(tmp_path / 'share')
    (first, *_), _ = chunks.chunks_of(str(share / 'b/two'), 'mark')
    for kind in ('vis', 'ir'):
        cv2.imwrite(str(share / 'b/two' / kind / '009.png'), scene(1)[kind == 'ir'])
    with pytest.raises(UserError, match='had 5 pairs and has 6 now: give another --out'):
        first.pairs()


def test_odd_names_and_places(tmp_path, capsys):
    """A colon, a markup, brackets, a link to itself; output that is remote."""
    share = sets(tmp_path / '<b>x & [y]', names=('one', 'two'))
    (share / 'loop').symlink_to(share)
    out = tmp_path / 'run:1'
    assert evaluate_sets(share, out, '--jobs', '1') == 0
    assert json.loads((out / 'results.json').read_text())['data_sets'] == 2
    html = (out / 'report.html').read_text()
    assert '<b>x' not in html and '&lt;b&gt;x &amp; [y]' in html
    assert evaluate_sets(share, 's3://somewhere/out') == 2
    assert 'is remote: output is written to this machine' in capsys.readouterr().err
    assert evaluate_sets(share, tmp_path / 'x', '--models', ',') == 2
    assert evaluate_sets(share, tmp_path / 'x', '--flicker') == 2
    assert '--flicker is of bags' in capsys.readouterr().err
    command = ['evaluate', '--data', str(share / 'one'), '--out', str(tmp_path / 'x')]
    assert main([*command, '--limit', '3']) == 2
    assert '--limit is of collections' in capsys.readouterr().err


@pytest.mark.parametrize('suffix', ['.json', '.parquet', '.jpg', 'manifest.json'])
def test_damaged_files_are_told(tmp_path, capsys, suffix):
    """The sentence says what to do, and doing it helps."""
    share, out = sets(tmp_path / 'share'), tmp_path / 'out'
    assert evaluate_sets(share, out, '--jobs', '1') == 0
    was = content(out)
    part = sorted((out / 'parts').glob(f'*{suffix}'))
    (part[0] if part else out / suffix).write_bytes(b'{') if suffix != '.jpg' else part[0].unlink()
    assert evaluate_sets(share, out, '--jobs', '1') == 2
    told = capsys.readouterr().err
    if suffix == 'manifest.json':
        assert 'manifest.json is damaged' in told
        return
    assert f'{part[0].stem}.* of ' in told and 'are damaged' in told
    for file in (out / 'parts').glob(f'{part[0].stem}.*'):
        file.unlink()
    assert evaluate_sets(share, out, '--jobs', '1') == 0 and content(out) == was


def test_sets_that_are_none(tmp_path, capsys):
    listed = tmp_path / 'sets.txt'
    listed.write_text(f'# mine\n{tmp_path}/nowhere\n')
    assert evaluate_sets(listed, tmp_path / 'out') == 2
    assert (
        'none of the 1 data sets gave a pair that can be used: the data folder'
        in capsys.readouterr().err
    )
    assert evaluate_sets(tmp_path / 'x*', tmp_path / 'out') == 2
    assert 'gives no data set' in capsys.readouterr().err
    assert evaluate_sets(tmp_path, tmp_path / 'out', '--stems', 'x') == 2
    assert '--stems is of one folder of pairs' in capsys.readouterr().err


def test_pairs_that_do_not_fit_are_no_result(tmp_path, capsys):
    """Visible and thermal of different sizes: nothing can be measured, which is no success."""
    share = sets(tmp_path / 'share', names=('one', 'two'))
    for file in share.rglob('ir/*.png'):
        cv2.imwrite(str(file), np.zeros((40, 40), np.uint8))
    assert evaluate_sets(share, tmp_path / 'out', '--jobs', '1') == 2
    told = capsys.readouterr().err
    assert 'none of the 2 data sets gave a pair that can be used: the visible image is' in told
    assert not (tmp_path / 'out/results.json').exists()
    assert evaluate_sets(share, tmp_path / 'x', '--jobs', '1', '--registration', 'resize') == 0
