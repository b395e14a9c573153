"""Collections of bags: the same tables whoever measured them, and the pairs of the whole bag."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from multimodal_fusion.cli import main
from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate.collection import archive
from multimodal_fusion.evaluate.collection.stretches import Cutting
from multimodal_fusion.evaluate.collection.tasks import Choice, survey
from multimodal_fusion.evaluate.report.collection import write_collection
from multimodal_fusion.host.workers import cluster
from multimodal_fusion.io.bag import Bag, BagWriter
from multimodal_fusion.pipeline.settings import checked

from ..helpers.bags import Planted, flight

MODELS = ['--models', 'max', '--no-baselines', '--metrics', 'EN,SD', '--every', '0.5']
SETTINGS = ['--set', 'sync.thermal_time_offset=0.12', '--set', 'thermal.memory=0.5']
SHORT = Planted(seconds=12, freeze=(4, 5.5), jump_at=8, jump_back=5)


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Twelve: MCAP, sqlite3, compressed, 16 bits, one cut off, one foreign, one that is no bag."""
    folder = tmp_path_factory.mktemp('flights')
    for number in range(6):
        flight(folder / f'plain{number}', Planted(seconds=4 + number), rgb_rate=10 + 5 * number)
    flight(folder / 'jump', SHORT)
    flight(folder / 'sqlite', SHORT, plugin='SQLITE3')
    flight(folder / 'compressed', Planted(seconds=5), compressed=True)
    flight(folder / 'wide', Planted(seconds=6), bits=16)
    whole = flight(folder / 'scratch', Planted(seconds=6))
    content = next(whole.glob('*.mcap')).read_bytes()
    (folder / 'cut.mcap').write_bytes(content[: len(content) * 2 // 3])
    for file in whole.iterdir():
        file.unlink()
    whole.rmdir()
    flight(folder / 'foreign', Planted(seconds=3), topics=('/a/left', '/b/right'))
    (folder / 'none.mcap').write_bytes(b'not a bag' * 100)
    return folder


def evaluate(bags, out, *more):
    return main(
        [
            'evaluate',
            '--bags',
            str(bags),
            '--out',
            str(out),
            *MODELS,
            *SETTINGS,
            '--stretch',
            '4',
            *more,
        ]
    )


def content(out):
    results = json.loads((out / 'results.json').read_text())
    del results['command']
    return results, (out / 'frames.parquet').read_bytes()


@pytest.fixture(scope='module')
def one(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp('one')
    assert evaluate(bags, out, '--jobs', '1') == 0
    return out


def test_what_a_collection_tells(one, bags, capsys):
    results, _ = content(one)
    assert results['bags'] == 13 and len(results['by_bag']) == 11
    assert {Path(bag).name for bag in results['left_out']} == {'foreign', 'none.mcap'}
    assert [Path(b).name for b in results['warnings']] == ['cut.mcap']
    table = pq.read_table(one / 'frames.parquet').to_pydict()
    pairs = [kind == 'pair' for kind in table['kind']]
    assert sum(pairs) == results['all']['pairs'] > 500
    without = results['all']['without_pair']
    resets = table['kind'].count('reset')
    assert resets == results['lost']['clock reset'] == 2
    assert without == len(pairs) - sum(pairs) - resets
    assert without == sum(results['lost'].values()) - resets
    assert 0 < results['all']['lost'] < without
    for by in ('bag', 'day', 'hour', 'light'):
        groups = results[f'by_{by}'].values()
        assert sum(g['pairs'] for g in groups) == sum(pairs), by
        assert sum(g['without_pair'] for g in groups) == without, by
    for by in (
        lambda b: results['by_bag'][b]['lost'],
        lambda b: sum(x[2] for x in results['map'][b]),
    ):
        assert sum(map(by, results['by_bag'])) == results['all']['lost']
    taken = [m for m, pair in zip(table['measured'], pairs, strict=True) if pair]
    assert 0 < sum(taken) == results['all']['measured'] < sum(pairs) / 3
    assert results['all']['frozen'] > 5
    assert set(results['by_light']) <= {'night', 'dusk', 'day'}
    values = [v for v, m in zip(table['max:EN'], table['measured'], strict=True) if m]
    mean = results['all']['metrics']['max:EN']['mean']
    assert mean == pytest.approx(np.mean(values)) and 3 < mean < 8
    assert results['by_day'].keys() == {'2023-11-14'} and results['by_hour'].keys() == {'22'}
    html = (one / 'report.html').read_text()
    assert html.count('alt="visible, thermal, fused"') > 5 and 'foreign' in html
    assert len(html) < 2_000_000
    cost = json.loads((one / 'cost.json').read_text())
    assert cost['frames/s of a core'] > 0 and cost['peak MB of a worker'] > 10


def test_four_processes_give_the_same_bytes(one, bags, tmp_path):
    assert evaluate(bags, tmp_path, '--jobs', '4') == 0
    assert content(tmp_path) == content(one)


def test_a_process_that_is_killed_costs_its_stretch_a_second_run(one, bags, tmp_path):
    """kill -9 of the first worker that has worked for a moment."""
    killed = []

    def kill():
        own = psutil.Process()
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            if any((tmp_path / 'parts').glob('*.parquet')):
                for child in own.children(recursive=True):
                    if 'spawn_main' in ' '.join(child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
                        return
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    assert evaluate(bags, tmp_path, '--jobs', '2') == 0
    thread.join()
    assert killed and content(tmp_path) == content(one)


def test_a_run_that_was_killed_goes_on(one, bags, tmp_path):
    command = [
        sys.executable, '-m', 'multimodal_fusion', 'evaluate', '--bags', str(bags), '--out',
        str(tmp_path), *MODELS, *SETTINGS, '--stretch', '4', '--jobs', '1',
    ]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    parts = tmp_path / 'parts'
    end = time.monotonic() + 120
    while len(list(parts.glob('*.parquet'))) < 3 and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob('*.parquet')}
    assert len(kept) >= 3 and not (tmp_path / 'results.json').exists()
    assert evaluate(bags, tmp_path, '--jobs', '2') == 0
    assert content(tmp_path) == content(one)
    assert all(path.stat().st_mtime_ns == was for path, was in kept.items())


def test_two_workers_of_dask_give_the_same_bytes_though_one_is_killed(one, bags, tmp_path):
    """kill -9 of a worker once a stretch is done; Dask runs again what it had."""
    from distributed import LocalCluster

    killed = []

    def kill(nanny):
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            if any((tmp_path / 'parts').glob('*.parquet')):
                os.kill(nanny.process.process.pid, signal.SIGKILL)
                killed.append(nanny)
            time.sleep(0.01)

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, protocol='tcp'
    ) as running:
        thread = threading.Thread(target=kill, args=(next(iter(running.workers.values())),))
        thread.start()
        assert evaluate(bags, tmp_path, '--cluster', running.scheduler_address) == 0
        thread.join()
    assert killed
    assert content(tmp_path) == content(one)


def test_a_cluster_that_is_not_there(bags, tmp_path, capsys):
    assert evaluate(bags, tmp_path, '--cluster', 'tcp://127.0.0.1:9') == 2
    assert 'no scheduler answers at tcp://127.0.0.1:9' in capsys.readouterr().err
    for address in ('nonsense://x', 'foo', 'tcp://host'):
        with pytest.raises(UserError, match='give the address of a scheduler'), cluster(address):
            pass


def test_stretches_have_the_pairs_of_the_whole_bag(tmp_path):
    """Two minutes with a freeze and a jump, cut into 17 and not at all: the same pairs, frame by
    frame, the same losses; metrics within a thousandth."""
    bag = flight(tmp_path / 'bag', bits=16)
    tables = {}
    for length in ('7', '1000'):
        command = ['evaluate', '--bags', str(bag), '--out', str(tmp_path / length), '--jobs', '1']
        assert main([*command, *MODELS, *SETTINGS, '--stretch', length]) == 0
        tables[length] = pq.read_table(tmp_path / length / 'frames.parquet').to_pydict()
    cut, whole = tables.values()
    assert len(set(cut['stretch'])) == 18 and set(whole['stretch']) == {0}
    assert len(whole['time']) > 900 and True in whole['frozen']
    for name in whole:
        if name in ('stretch', 'max:EN', 'max:SD', 'bag'):
            continue
        assert cut[name] == whole[name], name
    for name in ('max:EN', 'max:SD'):
        a, b = (np.array(t[name], float) for t in (cut, whole))
        assert np.array_equal(np.isnan(a), np.isnan(b)) and np.nanmax(np.abs(a / b - 1)) < 1e-3


def part_of(source, path, keep):
    """A bag of the messages of another that ``keep(topic, seconds)`` chooses."""
    with Bag(source) as bag:
        writer = BagWriter(path)
        for topic in bag.topics:
            writer.add(topic)
        for topic, at, raw in bag.messages():
            if keep(topic, (at - bag.start) * 1e-9):
                writer.write(topic, at, raw)
        writer.close()
    return path


@pytest.mark.parametrize('length', ['4', '100'])
def test_losses_are_those_beyond_the_rates(tmp_path, length):
    """RGB at 30 Hz and thermal at 9: most of RGB has no partner. Without thermal from 8 to 16 s,
    those of RGB that would have had one were lost, 8 x 9 = 72, whether the bag is cut or not; the
    stretches from 8 s on have them, until the last is given up, some seconds later."""
    source = flight(tmp_path / 'source', Planted(seconds=28, freeze=(99, 99), jump_at=99))
    hole = part_of(source, tmp_path / 'hole', lambda t, s: 'thermal' not in t or not 8 <= s < 16)
    out = tmp_path / 'out'
    words = ['--out', str(out), '--stretch', length, '--jobs', '1', *MODELS, *SETTINGS]
    assert main(['evaluate', '--bags', str(hole), *words]) == 0
    found = json.loads((out / 'results.json').read_text())
    (strip,) = found['map'].values()
    lost = [lost for _, _, lost in strip]
    assert sum(lost) == pytest.approx(72, abs=8) and found['all']['lost'] == sum(lost)
    if length == '4':
        assert len(lost) == 7 and sum(lost[2:5]) > 60 and max(lost[:2] + lost[5:]) <= 3


def test_bags_with_gaps_and_without_a_stream(tmp_path, capsys):
    """Stretches without a message, a camera that never came, one that died: every frame has a row,
    the worst comes first, and of those alone the reason is told."""
    source = flight(tmp_path / 'source', Planted(seconds=16, freeze=(99, 99), jump_at=99))
    bags = tmp_path / 'bags'
    bags.mkdir()
    part_of(source, bags / 'good', lambda t, s: True)
    part_of(source, bags / 'gap', lambda t, s: not 4 <= s < 12)
    part_of(source, bags / 'dead', lambda t, s: 'thermal' not in t or s < 5)
    alone = part_of(source, bags / 'alone', lambda t, s: 'thermal' not in t)
    out = tmp_path / 'out'
    words = ['--stretch', '2', '--jobs', '1', *MODELS, *SETTINGS]
    assert main(['evaluate', '--bags', str(bags), '--out', str(out), *words]) == 0
    found = json.loads((out / 'results.json').read_text())
    table = pq.read_table(out / 'frames.parquet').to_pydict()
    for name, group in found['by_bag'].items():
        with Bag(Path(name)) as bag:
            frames = sum(1 for topic, *_ in bag.messages() if 'image' in topic)
        assert 2 * group['pairs'] + group['without_pair'] == frames, name
        assert group['without_pair'] == sum(
            k == 'lost' and b == name for k, b in zip(table['kind'], table['bag'], strict=True)
        )
    share = {Path(name).name: g['lost'] / (g['lost'] + 2 * g['pairs']) for name, g in
             found['by_bag'].items()}  # fmt: skip
    assert share['alone'] == 1 and share['dead'] > 0.3 and max(share['good'], share['gap']) < 0.05
    capsys.readouterr()
    command = ['evaluate', '--bags', str(alone), '--out', str(tmp_path / 'x'), *words]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert 'none of the 1 bags gave a pair that can be used: ' in told and 'thermal' in told


def test_flicker_and_means_are_those_of_the_whole_bag(tmp_path, capsys):
    bag = flight(tmp_path / 'bag', Planted(seconds=12, freeze=(4, 5), jump_at=99))
    words = ['--models', 'max,laplacian', '--no-baselines', '--metrics', 'EN', *SETTINGS]
    found, means = [], []
    for where, more in (
        (['--bag', str(bag)], ['--no-timing']),
        (['--bags', str(bag)], ['--flicker', '--stretch', '3', '--jobs', '1']),
        (['--bags', str(bag)], ['--jobs', '1']),
    ):
        out = tmp_path / f'out{len(found)}'
        assert main(['evaluate', *where, '--out', str(out), *words, *more]) == 0
        results = json.loads((out / 'results.json').read_text())
        found.append(results['sequence']['flicker'])
        means.append(results['summary']['laplacian']['EN'])
        assert ('flicker ↓' in capsys.readouterr().out) == bool(found[-1])
    assert found[1] == pytest.approx(found[0], rel=1e-3) and found[0]['laplacian'] > 0
    assert found[2] == {}
    assert means[0]['count'] == means[1]['count'] == 12
    assert means[0]['mean'] == pytest.approx(means[1]['mean'], rel=1e-3)
    assert means[0]['mean'] == pytest.approx(means[2]['mean'], rel=1e-9)


def test_a_cut_depends_on_the_bag_and_never_divides_a_cell(tmp_path):
    bag = flight(tmp_path / 'bag', Planted(seconds=20))
    found = survey(str(bag), Cutting(checked({'thermal.memory': 0.0}), 4.0, 1.5), sets=False)
    assert not found.reason and len(found.tasks) == 5
    lengths = {s.stop - s.start for s in found.tasks[:-1]}
    assert lengths == {4_500_000_000}  # three cells of 1.5 s
    assert all(a.stop == b.start for a, b in zip(found.tasks, found.tasks[1:], strict=False))
    early = {s.start - s.read_from for s in found.tasks if s.read_from > s.origin}
    assert not early or min(early) > 3_000_000_000


def test_a_choice_depends_on_names_and_seed(bags):
    found = survey(str(bags / 'jump'), Cutting(checked({}), 1.0, 0.5), sets=False)
    chosen = [Choice(0.4, seed).of([found]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert 0 < len(chosen[0]) < len(found.tasks)
    assert Choice(limit=2).of([found]) == list(found.tasks[:2])


def test_no_more_is_looked_at_than_a_limit_needs(bags, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, '_AT_ONCE', 2)
    assert evaluate(bags, tmp_path, '--limit', '2', '--jobs', '1') == 0
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['bags'] == 2 and results['stretches'] == 2
    assert evaluate(bags, tmp_path, '--jobs', '1') == 0
    assert json.loads((tmp_path / 'results.json').read_text())['bags'] == 13


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (['--sample', '0'], '--sample is a share over 0'),
        (['--limit', '0'], '--limit at least 1'),
        (['--stems', 'x'], '--stems is of one folder of pairs'),
        (['--stretch', '0.1'], '--stretch is 0.1 s'),
        (['--stretch', 'nan'], '--stretch is nan s'),
        (['--stretch', 'inf'], '--stretch is inf s'),
        (['--every', '-1'], '--every is -1 s'),
        (['--sample', 'nan'], '--sample is a share over 0'),
    ],
)
def test_options_that_do_not_fit(bags, tmp_path, capsys, more, words):
    assert evaluate(bags, tmp_path, *more) == 2
    assert words in capsys.readouterr().err


def test_a_folder_of_another_run_is_left_alone(one, bags, capsys):
    before = content(one)
    assert evaluate(bags, one, '--set', 'sync.slop=0.01') == 2
    assert 'holds a run with other models' in capsys.readouterr().err
    assert content(one) == before


def test_topics_are_chosen_by_name(bags, tmp_path):
    names = ('--rgb-topic', '/a/left', '--thermal-topic', '/b/right', '--jobs', '1')
    assert evaluate(bags / 'foreign', tmp_path, *names) == 0
    assert content(tmp_path)[0]['all']['pairs'] > 20


def test_bags_and_bag_are_not_given_together(bags, tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate(bags, tmp_path, '--bag', str(bags / 'jump'))
    assert 'not allowed with' in capsys.readouterr().err


def test_a_part_after_the_whole(bags, one, tmp_path):
    """Fewer stretches of what is done already: the same numbers, pictures and all."""
    whole, out = tmp_path / 'whole', tmp_path / 'part'
    shutil.copytree(one, whole)
    assert evaluate(bags, whole, '--limit', '5', '--jobs', '1') == 0
    assert evaluate(bags, out, '--limit', '5', '--jobs', '1') == 0
    assert (whole / 'frames.parquet').read_bytes() == (out / 'frames.parquet').read_bytes()


def test_other_code_is_another_run(one, bags, tmp_path, monkeypatch, capsys):
    shutil.copytree(one, tmp_path / 'out')
    monkeypatch.setattr(archive, 'code_hash', lambda: 'another')
    assert evaluate(bags, tmp_path / 'out') == 2
    assert 'settings or code' in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_before(bags, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=1000))
    assert evaluate(bags / 'jump', tmp_path, '--jobs', '1') == 2
    assert 'and 0.0 MB are free: make room' in capsys.readouterr().err
    assert not list((tmp_path / 'parts').iterdir())


def test_ten_thousand_bags_give_a_page_that_opens(one, tmp_path):
    results, _ = content(one)
    bag, group = next(iter(results['by_bag'].items()))
    results['by_bag'] = {f'{bag}{n}': group for n in range(10_000)}
    results['map'] = {f'{bag}{n}': [[k, 100, k % 3] for k in range(60)] for n in range(10_000)}
    results['left_out'] = {f'{n}.mcap': f'{n}.mcap is cut' for n in range(3000)}
    write_collection(tmp_path / 'report.html', results, {}, {}, [], [])
    assert (tmp_path / 'report.html').stat().st_size < 5_000_000
