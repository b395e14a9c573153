"""What is kept on disk per patch, and what the memory teaches."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.train.data import store as store_module
from multimodal_fusion.train.data.pairs import ImagePair
from multimodal_fusion.train.data.patches import Augmentation, Patches, augment
from multimodal_fusion.train.data.store import RewindingStore, Store
from multimodal_fusion.train.losses import quality
from multimodal_fusion.train.losses.refresh import Memory

PLAIN = Augmentation(gain=0, gamma=0, noise=0, polarity=0, balance=0)


def pairs(count=3, height=50, width=60):
    random = np.random.default_rng(0)
    shape = (2, height, width)
    return [ImagePair(str(i), *random.integers(0, 256, shape, np.uint8)) for i in range(count)]


# The store


def test_a_store_starts_empty_keeps_and_reserves_its_space(tmp_path):
    store = Store(tmp_path / 's', 5, np.dtype([('a', '<f4'), ('b', 'u1', (3,))]))
    assert (tmp_path / 's').stat().st_size == 5 * 7
    assert not store[np.arange(5)]['a'].any()
    record = np.array([(1.5, (1, 2, 3))], store.records.dtype)
    store[np.array([4])] = record
    again = Store(tmp_path / 's', 5, store.records.dtype)
    assert again[np.array([4])] == record


def test_a_full_disk_is_told_at_the_start(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(store_module.os, 'posix_fallocate', full)
    with pytest.raises(UserError, match=r'needs 8 MB: No space left .*lower "patches"'):
        Store(tmp_path / 's', 1_000_000, np.dtype('<f8'))
    assert not (tmp_path / 's').exists()


def test_a_killed_run_finds_the_store_as_at_its_checkpoint(tmp_path):
    store = RewindingStore(tmp_path / 's.bin', 6, np.dtype('<i4'))
    store.rewind(0)
    store[np.array([1, 2])] = [10, 20]
    store.checkpoint(5)
    store[np.array([2, 3])] = [21, 30]
    store[np.array([2])] = [22]
    del store  # killed
    with open(tmp_path / 's.undo', 'ab') as file:
        file.write(b'half')  # of an entry
    store = RewindingStore(tmp_path / 's.bin', 6, np.dtype('<i4'))
    store.rewind(5)
    assert list(store.records) == [0, 10, 20, 0, 0, 0]


def test_killed_between_seal_and_log_the_store_stays_as_sealed(tmp_path):
    store = RewindingStore(tmp_path / 's.bin', 2, np.dtype('<i4'))
    store.rewind(0)
    store[np.array([1])] = [10]  # then the checkpoint of step 5 is sealed, and the run killed
    store = RewindingStore(tmp_path / 's.bin', 2, np.dtype('<i4'))
    store.rewind(5)
    assert list(store.records) == [0, 10]
    store.rewind(0)
    assert list(store.records) == [0, 0]


# Memory


def scene(count=3, side=32, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (2, count, 1, side, side)) / np.float32(255)
    return tuple(torch.from_numpy(images.astype(np.float32)))


def test_new_patches_are_remembered_and_teach_nothing(tmp_path):
    thermal, visible = scene()
    memory = Memory(tmp_path / 'm.bin', 5, 32)
    memory.store.rewind(0)
    lessons = memory.review(np.array([0, 2, 4]), torch.maximum(thermal, visible), thermal, visible)
    assert not lessons.gap_ssim.any()
    assert not lessons.gap_gmsd.any()
    assert list(memory.store.records['seen']) == [True, False, True, False, True]
    assert lessons.statistics()['wins_ssim'] == 0


def test_the_better_is_kept_and_the_worse_learns_by_the_gap(tmp_path):
    thermal, visible = scene()
    good, bad = (thermal + visible) / 2, torch.rand_like(thermal)
    keys = np.array([0, 1, 2])
    memory = Memory(tmp_path / 'm.bin', 3, 32)
    memory.store.rewind(0)
    start = torch.cat((good[:1], bad[1:]))
    memory.review(keys, start, thermal, visible)
    now = torch.cat((bad[:1], good[1:])).requires_grad_()
    lessons = memory.review(keys, now, thermal, visible)
    quantised = ((good * 255).round() / 255), ((bad * 255).round() / 255)
    gap = [
        (quality.ssim(x, thermal) + quality.ssim(x, visible))[0].item() for x in quantised
    ]  # fmt: skip
    assert lessons.gap_ssim[0].item() == pytest.approx(gap[0] - gap[1], abs=1e-5)
    assert (lessons.gap_ssim[1:] == 0).all()
    assert not lessons.gap_ssim.requires_grad
    torch.testing.assert_close(lessons.ssim[:1], quantised[0][:1])
    kept = torch.from_numpy(memory.store.records['ssim'].copy()).float()[:, None] / 255
    torch.testing.assert_close(kept, quantised[0])
    wins = lessons.statistics()
    assert wins['wins_ssim'] == pytest.approx(1 / 3)
    assert wins['gap_ssim'] == pytest.approx(gap[0] - gap[1], abs=1e-5)


def test_gmsd_memory_prefers_the_lower(tmp_path):
    thermal, visible = scene(1)
    memory = Memory(tmp_path / 'm.bin', 1, 32)
    memory.store.rewind(0)
    first, second = thermal, 1 - thermal
    scores = [(quality.gmsd(x, thermal) + quality.gmsd(x, visible)).item() for x in (first, second)]
    memory.review(np.array([0]), first, thermal, visible)
    lessons = memory.review(np.array([0]), second, thermal, visible)
    assert lessons.gap_gmsd.item() == pytest.approx(max(0, scores[1] - scores[0]), abs=1e-4)
    assert memory.store.records['g'][0] == pytest.approx(min(scores), abs=1e-4)


def test_by_batch_all_patches_decide_together(tmp_path):
    thermal, visible = scene()
    good, bad = (thermal + visible) / 2, torch.rand_like(thermal)
    memory = Memory(tmp_path / 'm.bin', 3, 32, 'batch')
    memory.store.rewind(0)
    keys = np.arange(3)
    memory.review(keys, good, thermal, visible)
    lessons = memory.review(keys, torch.cat((good[:1], bad[1:])), thermal, visible)
    assert (lessons.gap_ssim > 0).all()
    assert lessons.gap_ssim.unique().numel() == 1


def test_a_patch_of_128_pixels_takes_less_than_40_kilobytes(tmp_path):
    memory = Memory(tmp_path / 'm.bin', 10, 128)
    assert memory.store.path.stat().st_size <= 10 * 40_000


# Patches


def test_every_patch_comes_once_a_pass_in_another_order():
    patches = Patches(pairs(), 32, 12, 1, PLAIN)
    passes = [[patches.batch(3 * i + step, 4) for step in range(3)] for i in range(2)]
    orders = [np.concatenate([batch.keys for batch in batches]) for batches in passes]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert list(orders[0]) != list(orders[1])
    seen = [dict(zip(b.keys, b.thermal, strict=True)) for p in passes for b in p]
    first = {key: image for batch in seen[:3] for key, image in batch.items()}
    second = {key: image for batch in seen[3:] for key, image in batch.items()}
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(patches.batch(4, 4).visible, passes[1][1].visible)


def test_processes_share_the_patches_without_overlap():
    whole = Patches(pairs(), 32, 10, 1, PLAIN)
    parts = [Patches(pairs(), 32, 10, 1, PLAIN, rank, 2) for rank in (0, 1)]
    assert sorted(np.concatenate([part.own for part in parts])) == list(range(10))
    batch = parts[1].batch(0, 5)
    for key, thermal in zip(batch.keys, batch.thermal, strict=True):
        expected = whole.pixels(parts[1].own[key])[:1] / np.float32(255)
        np.testing.assert_array_equal(thermal.numpy(), expected)


def test_balance_draws_day_and_night_alike():
    dark = ImagePair('dark', *np.full((2, 40, 40), 20, np.uint8))
    bright = [ImagePair(str(i), *np.full((2, 40, 40), 120, np.uint8)) for i in range(9)]
    patches = Patches([dark, *bright], 32, 50, 0, PLAIN.model_copy(update={'balance': 1}))
    assert sum(patches.pixels(i).mean() < 60 for i in range(50)) == 25


def test_augmentation_changes_what_it_says():
    crop = np.full((2, 16, 16), 100, np.uint8)

    def changed(**how):
        given = Augmentation(**{**dict.fromkeys(('gain', 'gamma', 'noise'), 0.0), **how})
        return augment(crop, given, np.random.default_rng(1)).astype(float)

    rest = {'polarity': 0.0, 'balance': 0.0}
    assert (changed(**rest) == 100).all()
    bright = changed(gain=0.5, **rest)
    assert bright.std(axis=(1, 2)).max() == 0
    assert (bright >= 61).all() and (bright <= 165).all()
    assert bright[0, 0, 0] != bright[1, 0, 0]
    noisy = changed(noise=8.0, **rest)
    assert 6 < noisy[0].std() < 10
    inverted = changed(polarity=1.0, balance=0.0)
    assert (inverted[0] == 155).all() and (inverted[1] == 100).all()
