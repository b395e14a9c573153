"""The compiled network's threads, and the memory of its results."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from multimodal_fusion import images
from multimodal_fusion.kernel.compiled import compiled
from multimodal_fusion.kernel.library import Progress, library

from ..kernel import SHIPPED, needs_kernel, noise, shipped


@needs_kernel
@pytest.mark.parametrize('name', SHIPPED)
@pytest.mark.parametrize('size', [(32, 32), (97, 333), (256, 700)])
def test_threads_change_no_byte(name, size):
    thermal, content = noise(*size), shipped(name)
    for visible in (noise(*size), noise(*size, 3)):
        one = compiled(content).fuse(visible, thermal)
        for threads in (2, 3):
            assert np.array_equal(compiled(content, threads).fuse(visible, thermal), one)


@needs_kernel
@pytest.mark.parametrize(
    'held',
    [
        lambda fused: fused,
        lambda fused: fused[8:20, ::2],
        lambda fused: memoryview(fused),
        lambda fused: [fused.reshape(-1).view(np.int8)],
        lambda fused: np.frombuffer(fused, np.uint8),
        lambda fused: images.fields(fused, share=True)['data'],
    ],
    ids=['array', 'view', 'memoryview', 'view of a view', 'buffer', 'message'],
)
def test_a_result_is_not_written_again_while_it_is_held(held):
    """Let go, its memory is used again: nothing is allocated for the frame after."""
    ours, thermal = compiled(shipped('mmdrfuse')), noise(64, 64)
    kept, copies = [], []
    for _ in range(7):
        fused = ours.fuse(noise(64, 64, 3), thermal)
        copies.append(np.array(held(fused)))
        kept.append(held(fused))
        del fused
    for result, copy in zip(kept, copies, strict=True):
        assert np.array_equal(np.array(result), copy)
    del result
    kept.clear()
    places = {ours.fuse(noise(64, 64, 3), thermal).ctypes.data for _ in range(20)}
    assert len(places) == 1
    assert ours.fuse(noise(40, 50), noise(40, 50)).shape == (40, 50)


@needs_kernel
def test_threads_share_a_fuser():
    """Each result is that of its own images, whoever else is being served."""
    ours = compiled(shipped('mmdrfuse'), threads=2)
    pairs = [(noise(70, 90, 3), noise(70, 90)) for _ in range(8)]
    expected = [compiled(shipped('mmdrfuse')).fuse(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            fused = list(pool.map(lambda pair: ours.fuse(*pair), pairs))
            assert all(map(np.array_equal, fused, expected))


@needs_kernel
@pytest.mark.parametrize('height', [32, 33, 97])
def test_each_row_is_taken_once_however_many_take_them(height):
    """Of the whole image: with no row left a call touches nothing, not even the images."""
    content, threads = shipped('mmdrfuse_plus'), 3
    visible, thermal = noise(height, 40), noise(height, 40)
    kernel, whole = compiled(content), compiled(content).fuse(visible, thermal)
    for _ in range(50):
        out, progress, start = np.zeros_like(visible), Progress(), threading.Barrier(threads)
        images = [part for a in (visible, thermal, out) for part in (a.ctypes.data, a.strides[0])]

        def work(where=images, progress=progress, start=start):
            start.wait()
            kernel._make(*where, height, 40, 1, threads, progress)

        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        assert progress.taken == progress.made == height
        assert np.array_equal(out, whole)
    kernel._make(None, 0, None, 0, None, 0, height, 40, 1, threads, progress)


@needs_kernel
def test_rows_in_the_making_elsewhere_are_awaited():
    progress, returned = Progress(40, 39), threading.Event()

    def wait():
        library().await_rows(progress, 40)
        returned.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert not returned.wait(0.05)
    progress.made = 40
    assert returned.wait(10)
    waiter.join()


@needs_kernel
def test_a_thread_that_cannot_start_leaves_nobody_behind(monkeypatch):
    """The error comes when all rows are made, so nothing is written to the images after it."""
    kernel, calls = compiled(shipped('mmdrfuse'), threads=3), []

    class Pool:
        def submit(self, *work):
            calls.append(work)
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(kernel, '_pool', Pool())
    visible, thermal, out = noise(96, 64), noise(96, 64), np.zeros((96, 64), np.uint8)
    with pytest.raises(RuntimeError, match='start new thread'):
        kernel.fuse(visible, thermal, out=out)
    assert calls[0][-1].made == 96
    assert np.array_equal(out, compiled(shipped('mmdrfuse')).fuse(visible, thermal))
