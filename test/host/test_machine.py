"""Memory that is kept: counted in page faults of a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
from multimodal_fusion.host.machine import keep_memory
if {keep}:
    assert keep_memory()
for i in range(120):
    if i == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    image, copy = bytearray(921_600), bytearray(921_600)
    del image, copy
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    environment = {k: v for k, v in os.environ.items() if not k.startswith('MALLOC_')}
    done = subprocess.run(
        [sys.executable, '-c', COUNT.format(keep=keep)],
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='mallopt is of glibc')
def test_buffers_of_image_size_are_not_faulted_in_again():
    """100 rounds of two VGA images of 225 pages: 45,000 faults where none is kept."""
    assert faults(keep=True) < 1000 < faults(keep=False)


def test_the_environment_decides_where_it_speaks(monkeypatch):
    from multimodal_fusion.host.machine import keep_memory

    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '131072')
    assert not keep_memory()
