"""The compiled network's threads, and the memory of its results."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from multimodal_fusion.fusers.kernel.compiled import compiled
from multimodal_fusion.io import messages

from ...helpers.kernel import SHIPPED, needs_kernel, noise, shipped


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
        lambda fused: messages.fields(fused, share=True)['data'],
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
@pytest.mark.parametrize('height', [64, 65, 97, 480])
def test_every_row_is_made_whoever_comes_first(height):
    """Many short images one after the other: helpers wake up before, during and after each."""
    ours, alone = (compiled(shipped('mmdrfuse_plus'), threads) for threads in (3, 1))
    visible, thermal = noise(height, 40), noise(height, 40)
    whole = alone.fuse(visible, thermal)
    for _ in range(300):
        out = np.zeros_like(visible)
        assert np.array_equal(ours.fuse(visible, thermal, out=out), whole)


def run_python(script):
    """Run a script with a kernel of four threads at hand; returns what it printed."""
    before = """
        import os, resource, signal, sys, time
        import numpy as np
        from multimodal_fusion.fusers.kernel.compiled import compiled
        from test.helpers.kernel import noise, shipped

        def threads():
            return len(os.listdir('/proc/self/task'))

        visible, thermal = noise(200, 64, 3), noise(200, 64)
        expected = compiled(shipped('mmdrfuse')).fuse(visible, thermal)
    """
    script = textwrap.dedent(before) + textwrap.dedent(script)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


on_linux = pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='threads are counted')


@needs_kernel
@on_linux
def test_helpers_go_when_the_kernel_goes():
    script = """
        before = threads()
        kernel = compiled(shipped('mmdrfuse'), threads=4)
        assert np.array_equal(kernel.fuse(visible, thermal), expected)
        print(threads() - before)
        del kernel
        deadline = time.monotonic() + 10
        while threads() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        print(threads() - before)
    """
    assert run_python(script) == ['3', '0']


@needs_kernel
@on_linux
def test_without_helpers_the_caller_makes_the_image():
    """No memory for the stack of a thread: fewer or no helpers, the same image."""
    script = """
        used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
        content, before = shipped('mmdrfuse'), threads()
        # The rest of the process has room; a stack, of 2 MB at least, has none.
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))
        kernel = compiled(content, threads=4)
        print(threads() - before, np.array_equal(kernel.fuse(visible, thermal), expected))
    """
    assert run_python(script) == ['0', 'True']


@needs_kernel
@on_linux
def test_a_forked_process_has_no_helpers_and_goes_on():
    script = """
        kernel = compiled(shipped('mmdrfuse'), threads=4)
        kernel.fuse(visible, thermal)
        codes = set()
        for _ in range(50):
            kernel.fuse(visible, thermal)
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                fused = kernel.fuse(visible, thermal, out=np.zeros_like(visible))
                del kernel
                os._exit(not np.array_equal(fused, expected))
            codes.add(os.waitpid(child, 0)[1])
        print(codes)
    """
    assert run_python(script) == ['{0}']
