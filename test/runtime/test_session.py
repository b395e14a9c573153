"""ONNX Runtime sessions: bound buffers, and the GPU where there is one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.runtime import session

from ..helpers.models import LUMA_MAXIMUM, slow_bytes

REPOSITORY = Path(__file__).parents[2]

random = np.random.default_rng(4)


def feed(height, width):
    shape = (1, height, width, 1)
    return {name: random.integers(0, 256, shape, np.uint8) for name in ('visible', 'thermal')}


def test_bound_buffers_give_fresh_results_at_every_size():
    """On the CPU's memory, where the same calls as on a GPU can be checked."""
    opened = ort.InferenceSession(LUMA_MAXIMUM, providers=['CPUExecutionProvider'])
    runner = session.Runner(opened, device='cpu')
    kept = []
    for size in ((40, 50), (40, 50), (33, 70), (40, 50)):
        images = feed(*size)
        before = {name: array.copy() for name, array in images.items()}
        fused = runner.run(images, {'fused': (1, *size, 1)})[0]
        kept.append((fused, np.maximum(images['visible'], images['thermal'])))
        assert all(np.array_equal(images[name], before[name]) for name in images)
    assert all(np.array_equal(fused, expected) for fused, expected in kept)


def test_tensorrt_keeps_its_engines_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    options = session.provider_options('TensorrtExecutionProvider', fp16=True)
    folder = tmp_path / 'multimodal_fusion' / 'tensorrt'
    assert options['trt_fp16_enable'] == 'True' and folder.is_dir()
    assert options['trt_engine_cache_path'] == str(folder)
    blocked = tmp_path / 'file'
    blocked.write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(blocked))
    options = session.provider_options('TensorrtExecutionProvider')
    assert options == {'trt_fp16_enable': 'False'}
    assert session.provider_options('CPUExecutionProvider') == {}


@pytest.mark.parametrize('provider', ['cuda', 'tensorrt'])
@pytest.mark.parametrize('name', ['mmdrfuse', 'mmdrfuse_plus'])
def test_the_gpu_gives_the_pixels_of_the_cpu(provider, name):
    if session.PROVIDERS[provider] not in ort.get_available_providers():
        pytest.skip(f'this onnxruntime has no {provider} provider: it needs onnxruntime-gpu')
    gpu, cpu = Fuser.load(name, (provider,)), Fuser.load(name, compiled=False)
    if gpu.notice:
        pytest.skip(f'no usable GPU: {gpu.notice}')
    for size in ((480, 640), (33, 47)):
        visible = random.integers(0, 256, (*size, 3), np.uint8)
        thermal = random.integers(0, 256, size, np.uint8)
        fused = gpu.fuse(visible, thermal).astype(int)
        assert np.abs(fused - cpu.fuse(visible, thermal)).max() <= 1


def test_a_run_that_is_under_way_can_be_ended(tmp_path):
    """In a process of its own, whose runs are all over then. It would take minutes: it ends, and
    says why."""
    (tmp_path / 'slow.onnx').write_bytes(slow_bytes(60))
    code = f"""
import threading, numpy as np
from pathlib import Path
from multimodal_fusion.runtime import session
path = Path({str(tmp_path / 'slow.onnx')!r})
model = session.open_session(path.read_bytes(), path, ('cpu',), 1)
feed = dict.fromkeys(('visible', 'thermal'), np.zeros((1, 960, 1280, 1), np.uint8))
under_way = threading.Event()

def work():
    under_way.set()
    try:
        session.run(model, None, feed)
        print('ran to its end')
    except Exception as error:
        print(error)

worker = threading.Thread(target=work)
worker.start()
under_way.wait()
session.end_runs()
worker.join()
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 'terminate flag' in done.stdout
