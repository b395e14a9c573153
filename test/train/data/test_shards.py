"""Shards: what goes in comes out, passes go by shards and share them, damage is told."""

import os
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest

from multimodal_fusion.cli import main
from multimodal_fusion.errors import UserError
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data.pairs import Crops, load_folders
from multimodal_fusion.train.data.patches import Augmentation, Patches
from multimodal_fusion.train.data.shards import (
    INDEX,
    Passes,
    Shards,
    in_passes,
    load_shards,
    pack_shards,
)

PLAIN = Augmentation(gain=0, gamma=0, noise=0, polarity=0, balance=0)


@pytest.fixture
def folder(tmp_path):
    """Noise, so that a window is found in one place alone: 5 pairs to train on, 3 to judge by."""
    random = np.random.default_rng(0)
    for split, count in (('train', 5), ('val', 3)):
        for kind, channels in (('vis', (3,)), ('ir', ())):
            (tmp_path / 'data' / split / kind).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (80, 96, *channels), np.uint8)
                path = tmp_path / 'data' / split / kind / f'a.{number}.png'
                cv2.imwrite(str(path), pixels)
    return tmp_path / 'data'


@pytest.fixture(params=['npy', 'png'])
def shards(folder, tmp_path, request):
    facts = pack_shards(folder, tmp_path / 'shards', 48, count=60, shard=40_000, kind=request.param)
    assert facts['crops'] == 60 and facts['shards'] > 5
    return tmp_path / 'shards'


def test_crops_come_out_as_they_went_in(folder, shards):
    """Every crop is a window of its pair; one pair after the other."""
    whole = {p.stem: p for p in load_folders(folder).train}
    found = load_folders(shards)
    assert isinstance(found.train, Shards) and len(found.train) == 60
    for place, pair in enumerate(found.train):
        source = whole[pair.stem]
        assert pair.stem == sorted(whole)[place % 5] and pair.thermal.shape == (48, 48)
        windows = np.lib.stride_tricks.sliding_window_view(source.thermal, (48, 48))
        at = np.argwhere((windows == pair.thermal).all((2, 3)))[0]
        assert np.array_equal(source.visible[at[0] : at[0] + 48, at[1] : at[1] + 48], pair.visible)
    assert len(found.validation) == 3 and '60 crops in' in found.description


def test_other_readers_of_the_layout_read_them(shards):
    """The package webdataset: a sample a key, two images each."""
    import webdataset

    files = sorted(map(str, shards.glob('train-*.tar')))
    samples = list(webdataset.WebDataset(files, shardshuffle=False).decode('l8'))
    ours = load_shards(shards).train
    kind = next(key for key in samples[0] if key.startswith('thermal.')).rpartition('.')[2]
    assert len(samples) == 60
    for sample, pair in zip(samples, ours, strict=True):
        assert np.array_equal(np.asarray(sample[f'thermal.{kind}']), pair.thermal)
        assert np.array_equal(np.asarray(sample[f'visible.{kind}']), pair.visible)


@pytest.mark.parametrize('kind', ['npy', 'png'])
def test_colour(folder, tmp_path, kind):
    pack_shards(folder, tmp_path / 'colour', 48, count=10, colour=True, kind=kind)
    pair = load_folders(tmp_path / 'colour', colour=True).train[0]
    assert pair.visible.shape == (48, 48, 3)
    source = load_folders(folder, colour=True).train[0]
    assert np.isin(pair.visible[..., 0], source.visible[..., 0]).all()
    assert abs(pair.visible.mean((0, 1)) - source.visible.mean((0, 1))).max() < 40
    with pytest.raises(UserError, match='has colours, and grey is asked for'):
        load_folders(tmp_path / 'colour')


def test_a_pass_goes_shard_by_shard_and_has_all_once():
    shards = np.repeat(np.arange(20), 7)
    order = in_passes(shards, np.random.default_rng(0), window=4)
    assert sorted(order) == list(range(140))
    turns = shards[order].reshape(5, 28)
    assert all(len(set(turn)) == 4 for turn in turns)  # four shards together, shuffled
    assert any(np.diff(turns[0]) != 0) and len(set(turns[:, 0])) > 1
    again = in_passes(shards, np.random.default_rng(1), window=4)
    assert not np.array_equal(order, again)


def test_processes_share_a_pass_and_steps_are_their_own(shards):
    pairs = load_shards(shards).train
    shares = [Passes(pairs, 7, rank, 3) for rank in range(3)]
    seen = [n for share in shares for step in range(5) for n in share.batch(step, 4)]
    assert sorted(seen) == list(range(60))
    resumed = Passes(pairs, 7, 1, 3)  # in the middle, of another pass
    assert list(resumed.batch(8, 4)) == list(shares[1].batch(8, 4))
    assert list(shares[1].batch(8, 4)) != list(shares[1].batch(3, 4))
    assert len(Passes(pairs, 7).batch(2, 100)) == 100  # more than there are


def test_training_batches_are_those_of_a_resumed_run(shards):
    pairs = load_shards(shards).train
    first, other = (Crops(pairs, 32, 6, 1) for _ in range(2))
    for _ in range(3):
        first(_)
    assert all(bool((a == b).all()) for a, b in zip(first(17), other(17), strict=True))
    patches = [Patches(pairs, 32, 60, 1, PLAIN, rank, 2) for rank in (0, 1)]
    keys = [p.own[p.batch(step, 5).keys] for p in patches for step in range(6)]
    assert sorted(np.concatenate(keys)) == list(range(60))


def test_stems_are_chosen(shards):
    stems = sorted(set(load_shards(shards).train.stems()))

    class Only(Selection):
        def choose(self, pairs, folder):
            return [pair for pair in pairs if pair.stem == stems[0]]

    found = load_shards(shards, Only())
    assert set(found.train.stems()) == {stems[0]} and '12 of them used' in found.description


def test_damage_is_told(folder, shards, tmp_path):
    with pytest.raises(UserError, match='holds shards already'):
        pack_shards(folder, shards, 48, count=10)
    tar = shards / 'train-000000.tar'
    content = tar.read_bytes()
    tar.write_bytes(content[:3000])
    with pytest.raises(UserError, match=r'train-000000\.tar is damaged at'):
        list(load_shards(shards).train)
    tar.unlink()
    with pytest.raises(UserError, match=r'lacks train-000000\.tar'):
        load_shards(shards)
    tar.write_bytes(content)
    index = shards / INDEX
    index.write_bytes(index.read_bytes()[:200])
    with pytest.raises(UserError, match=r'is no index of "data pack --shards"'):
        load_shards(shards)
    index.unlink()
    with pytest.raises(UserError, match='packing was broken off'):
        load_folders(shards)


def test_the_command_and_a_run(folder, tmp_path, capsys):
    """Packed, trained on in two steps; the same bytes again."""
    outs = [tmp_path / 'a', tmp_path / 'b']
    for out in outs:
        command = ['data', 'pack', '--shards', '--data', str(folder), '--out', str(out)]
        assert main([*command, '--side', '64', '--count', '40', '--shard-mb', '0.1']) == 0
    assert 'shards: ' in capsys.readouterr().out
    for path in outs[0].glob('*.tar'):
        assert path.read_bytes() == (outs[1] / path.name).read_bytes()
    run = [
        'train', 'mmdrfuse_plus', '--data', str(outs[0]), '--out', str(tmp_path / 'run'),
        'steps=4', 'batch=4', 'evaluate_every=4', 'mmdrfuse.patch=48', 'mmdrfuse.patches=40',
        'mmdrfuse.validation_pairs=2', 'mmdrfuse.validation_side=64',
    ]  # fmt: skip
    assert main(run) == 0


@pytest.mark.slow
def test_two_hosts_share_shards_under_torchrun(folder, tmp_path):
    """Two nodes of one process each, at 127.0.0.2 and 127.0.0.3: one run."""
    pack_shards(folder, tmp_path / 'shards', 64, count=40, shard=60_000)
    with socket.socket() as probe:
        probe.bind(('127.0.0.2', 0))
        port = probe.getsockname()[1]

    def both(*more):
        words = [
            'train', 'mmdrfuse_plus', '--data', str(tmp_path / 'shards'),
            '--out', str(tmp_path / 'run'), 'batch=4', 'evaluate_every=2', 'mmdrfuse.patch=48',
            'mmdrfuse.patches=40', 'mmdrfuse.validation_pairs=2', 'mmdrfuse.validation_side=64',
            *more,
        ]  # fmt: skip
        nodes = [
            subprocess.Popen(
                [
                    sys.executable, '-m', 'torch.distributed.run', '--nnodes', '2',
                    '--nproc-per-node', '1', '--node-rank', str(rank), '--master-addr', '127.0.0.2',
                    '--master-port', str(port), '--local-addr', f'127.0.0.{2 + rank}',
                    '-m', 'multimodal_fusion', *words,
                ],
                env={**os.environ, 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        said = [node.communicate(timeout=240)[0] for node in nodes]
        assert [node.returncode for node in nodes] == [0, 0], said

    both('steps=4')
    rows = (tmp_path / 'run' / 'metrics.csv').read_text().splitlines()
    assert len(rows) == 4  # a heading, and steps 0, 2 and 4
