"""bench node as a user runs it: the real processes, a few seconds."""

import json

import pytest

from multimodal_fusion import cli
from multimodal_fusion.benchmark import node, rig, soak
from multimodal_fusion.errors import UserError

pytest.importorskip('psutil', reason='CPU and memory need psutil; the ros extra brings it')


def bench(capsys, *arguments):
    code = cli.main(['bench', 'node', '--model', 'max', '--json', *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_latency_stages_floor_cpu_and_memory(capsys):
    code, result = bench(
        capsys, '--pairs', '320x256+160x128:14', '--rates', '20', '--seconds', '3', '--no-search'
    )
    assert code == 0
    (row,) = result['rows']
    assert row['pair'] == '320x256 bgr8 + 160x128 mono16'
    for name in ('node', 'floor'):
        part = row[name]
        assert part['sent'] == 60 and part['lost'] <= 6
        latency = part['latency ms']
        assert 0 < latency['median'] <= latency['p95'] <= latency['p99'] < 1000
        assert set(part['cpu % of one core']) == {'publisher', name, 'listener'}
        assert part['cpu % of one core'][name] > 0
        assert part['memory MB']['resident'] > part['memory MB']['private'] > 10
    low, high = row['latency over floor']['quartiles']
    assert 0 < low <= row['latency over floor']['median'] <= high
    stages = row['stages ms']
    assert set(stages) == set(node.STAGES)
    assert all(0 <= stage['p50'] <= stage['p99'] for stage in stages.values())
    # What the node accounts for lies within what was seen from outside.
    inside = sum(stages[s]['p50'] for s in stages if s not in ('observe', 'publish'))
    assert 0 < inside < row['node']['latency ms']['p99']


def test_soak_and_search(capsys, monkeypatch):
    monkeypatch.setattr(soak, '_CHUNK', 0.5)
    monkeypatch.setattr(soak, '_STALLS', (0.5,))
    monkeypatch.setattr(rig, '_LEAD', 0.3)
    monkeypatch.setattr(rig, '_TRIAL', 0.3)
    monkeypatch.setattr(rig, '_HIGHEST', 30.0)
    with rig.stage(rig.parse_pair('320x256+320x256'), 'max') as running:
        rates = (0.0, *(round(15 + 15 * i / 16, 1) for i in range(17)))
        assert round(running.highest_rate('node'), 1) in rates
        found = soak.soak(running, 20.0, 3 / 60)
    assert found['sent'] >= 50 and found['lost'] <= 5
    assert len(found['series']) >= 3
    counted = found['counted by the node']
    assert abs(counted['fused'] + counted['replaced by newer'] - counted['pairs']) <= 1
    assert 30 <= counted['pairs'] <= counted['rgb frames'] <= found['sent']
    private = found['memory MB']['private']
    assert 10 < private['at the start'] < private['warm'] + 5
    assert found['slope MB/h']['private'] == found['slope MB/h']['private']  # not NaN


def test_a_model_that_is_not_there_ends_it_with_a_sentence():
    pair = rig.parse_pair('320x256+320x256')
    with (
        pytest.raises(UserError, match='fusion_node ended with code 2'),
        rig.stage(pair, 'nosuch'),
    ):
        pass


@pytest.mark.parametrize('arguments', [['--pairs', '640'], ['--rates', 'fast'], ['--rates', '0']])
def test_arguments_that_do_not_fit(arguments, capsys):
    assert cli.main(['bench', 'node', *arguments]) == 2
    assert 'expected' in capsys.readouterr().err
