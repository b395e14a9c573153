"""Packaging for pip and for colcon (ament_python); metadata is in setup.cfg."""

import os
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1; colcon makes no wheels
    bdist_wheel = None

NAME = 'multimodal_fusion'
SHARE = f'share/{NAME}'

RUN_TIME = [
    'numpy',
    'opencv-python-headless',
    'onnxruntime',
    'PyYAML',
    'PyWavelets',
    'tqdm',
    'jinja2',  # evaluate
]
ROS = [  # ROS 2 Kilted as PyPI wheels, for machines without an apt installation
    'ros-rclpy[fastrtps]',
    'ros-sensor-msgs',
    'ros-std-msgs',
    'ros-diagnostic-msgs',
    'ros-rcl-interfaces',
    'ros-geometry-msgs',
    'ros-std-srvs',
    'rosbags',
    'mcap',
    'psutil',
]
TRAIN = [
    'torch',
    'lightning-fabric',
    'pydantic>=2',
    'safetensors',
    'onnx>=1.21',  # below it has published weaknesses
    'onnxscript',
    'matplotlib',
]
DETECTION = ['pycocotools']  # average precision in `evaluate --detector`
TEXT = [  # of the text prior: its teacher is told texts
    'wordllama',  # static embeddings, with their weights
    'transformers',  # CLIP's text model or a captioner, where one has weights
    'pillow',
]
TEST = [
    *DETECTION,
    *TEXT,
    'pytest',
    'pytest-xdist',
    'hypothesis',
    'mypy',
    'ruff',
    'types-PyYAML',
    'colcon-core',
    'colcon-ros',
    'onnx>=1.21',
    # A compiler and an emulator for the kernel on 64-bit ARM.
    'ziglang; platform_machine == "x86_64"',
    'unicorn; platform_machine == "x86_64"',
    # Independent implementations that ours are compared with.
    'rosbags-image',
    'rerun-sdk',
    # Collections of bags: tables, remote places, a cluster, an object store to test with.
    'pyarrow',
    'universal-pathlib',
    's3fs',
    'distributed',
    'moto[server]',
    'webdataset',
    'scikit-image',
    'scikit-learn',
    'sewar',
]


class PlainLibrary(build_ext):
    """The kernel is no Python module: its name carries no Python version."""

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split('.')) + '.so'


commands = {'build_ext': PlainLibrary}
if bdist_wheel is not None:

    class AnyPython(bdist_wheel):
        """One wheel a platform, for every Python 3."""

        def get_tag(self):
            return 'py3', 'none', super().get_tag()[2]

    commands['bdist_wheel'] = AnyPython

# Under colcon, OpenCV, numpy and the rest come from apt by package.xml: a Python requirement on a
# distribution name that apt does not provide (opencv-python-headless) would break the executables.
under_colcon = 'COLCON' in os.environ or 'AMENT_PREFIX_PATH' in os.environ

KERNEL = ('two_layer', 'fixed_point', 'pyramid', 'team')

setup(
    cmdclass=commands,
    install_requires=[] if under_colcon else RUN_TIME,
    # colcon cannot read the object that setuptools makes of this.
    python_requires=None if under_colcon else '>=3.10',
    extras_require={
        'ros': ROS,
        'train': TRAIN,
        'detection': DETECTION,
        'gpu': ['onnxruntime-gpu'],
        'test': TEST,
        'fuzz': ['atheris'],
        'evolve': ['cma'],
        'text': TEXT,
        'rerun': ['rerun-sdk'],
        'collection': ['pyarrow'],
        'remote': ['universal-pathlib', 's3fs'],
        'cluster': ['distributed', 'pyarrow'],
    },
    entry_points={
        'console_scripts': [
            f'{NAME} = {NAME}.cli:main',
            f'fusion_node = {NAME}.nodes.__main__:fusion_node',
            f'player = {NAME}.nodes.__main__:player',
            f'recorder = {NAME}.nodes.__main__:recorder',
        ]
    },
    # A plain C library, loaded by ctypes. Optional: without a compiler ONNX Runtime does the work.
    ext_modules=[
        Extension(
            f'{NAME}.fusers.kernel.two_layer',
            [f'{NAME}/fusers/kernel/{name}.c' for name in KERNEL],
            depends=[f'{NAME}/fusers/kernel/{name}.h' for name in ('floats', 'rows', 'team')],
            extra_compile_args=[
                '-O3',
                '-pthread',
                '-ffp-contract=fast',
                '-fno-math-errno',  # a square root is an instruction
                '-Wno-psabi',
                '-Wno-maybe-uninitialized',
            ],
            extra_link_args=['-pthread'],
            optional=True,
        )
    ],
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', glob('launch/*.launch.py')),
        (f'{SHARE}/config', [path for path in glob('config/*') if os.path.isfile(path)]),
        (f'{SHARE}/config/train', glob('config/train/*')),
        (f'{SHARE}/config/losses', glob('config/losses/*')),
        (f'{SHARE}/models', glob('models/*')),
        # `ros2 run` looks in lib/<package>. A wheel ignores setup.cfg's install_scripts, so the
        # executables are data there; under colcon the console scripts overwrite them.
        (f'lib/{NAME}', glob('resource/executables/*')),
    ],
)
