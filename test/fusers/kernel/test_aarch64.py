"""The kernel as 64-bit ARM computes it, in an emulator, beside ONNX Runtime."""

import pytest

from multimodal_fusion.fusers.kernel.compiled import Compiled
from multimodal_fusion.fusers.kernel.pyramid import read_pyramid
from multimodal_fusion.fusers.kernel.weights import read_two_layer

from ...helpers.kernel import SHIPPED, needs_kernel, noise, shipped
from ...helpers.models import random_two_layer
from .test_compiled import Runtime, assert_rarely_off

for module in ('ziglang', 'unicorn'):
    pytest.importorskip(module, reason=f'{module} comes with the test extra on x86-64')
from ...helpers.aarch64 import emulator

pytestmark = needs_kernel


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp('aarch64') / 'kernel'
    emulator.build(path)
    return path


@pytest.mark.parametrize('name', [*SHIPPED, 'tanh', 'linear'])
@pytest.mark.parametrize('size', [(32, 32), (33, 47), (40, 641), (35, 1283)])
def test_every_pixel_is_that_of_onnx_runtime(program, name, size):
    content = shipped(name) if name in SHIPPED else random_two_layer(1, name).SerializeToString()
    floats = Compiled(read_two_layer(content), sixteen_bit=False)
    network, runtime, thermal = bytes(floats._make.args[0]), Runtime(content), noise(*size)
    for visible in (noise(*size), noise(*size, 3)):
        fused = emulator.fuse(program, network, visible, thermal)
        assert_rarely_off(fused, runtime.fuse(visible, thermal))


def test_every_pixel_of_the_pyramid_too(tmp_path):
    emulator.build(tmp_path / 'pyramid', 'PYRAMID')
    content = shipped('mmdrfuse_pyramid')
    network = bytes(Compiled(read_pyramid(content))._make.args[0])
    runtime = Runtime(content)
    for size in ((33, 47), (40, 651)):
        thermal = noise(*size)
        for visible in (noise(*size), noise(*size, 3)):
            fused = emulator.fuse(tmp_path / 'pyramid', network, visible, thermal)
            assert_rarely_off(fused, runtime.fuse(visible, thermal))
