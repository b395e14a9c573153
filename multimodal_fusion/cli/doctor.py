"""Say what this machine has, and what to do about what is missing."""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..fusers.kernel.library import library
from ..runtime.manifest import Manifest, read_model
from ..runtime.session import onnxruntime_or_none

HELP = 'Say what this machine has for fusion: ROS, ONNX Runtime, packages, shared memory.'
EXAMPLE = 'python -m multimodal_fusion doctor'

_OPTIONAL = {
    'pywt': ('wavelet_max', 'pip install PyWavelets'),
    'rosbags': ('reading and writing bags, demo', 'pip install rosbags'),
    'mcap': ('bags that were cut off', 'pip install mcap'),
    'psutil': ('CPU and memory figures of demo', 'pip install psutil'),
    'torch': ('train, export', 'pip install "multimodal_fusion[train]"'),
    'pycocotools': ('evaluate --detector', 'pip install "multimodal_fusion[detection]"'),
    'vision_msgs': ('fused/detections', 'ros-<distro>-vision-msgs from apt'),
    'message_filters': ('sync.backend message_filters', 'ros-<distro>-message-filters from apt'),
    'cv_bridge': ('nothing: tests compare with it', 'ros-<distro>-cv-bridge from apt'),
}
_SHARED_MEMORY = 128 * 2**20


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, whether it will do, and what to do if not."""

    what: str
    found: str
    good: bool = True
    advice: str = ''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--json', action='store_true', help='machine-readable')


def run(args: argparse.Namespace) -> int:
    findings = [*machine(), *ros(), *runtime(), *models(), *optional()]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            mark = 'ok' if finding.good else '!!'
            print(f'{mark}  {finding.what.ljust(width)}  {finding.found}')
            if finding.advice:
                print(f'    {"".ljust(width)}  -> {finding.advice}')
    return 0


def machine() -> list[Finding]:
    findings = [
        Finding('machine', f'{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}'),
        Finding('Python', platform.python_version()),
    ]
    for module in ('numpy', 'cv2', 'yaml'):
        findings.append(Finding(module, _version(module)))
    shm = Path('/dev/shm')
    if shm.is_dir():
        free = shutil.disk_usage(shm).free
        findings.append(
            Finding(
                'shared memory',
                f'{free / 2**20:.0f} MB free in {shm}',
                free >= _SHARED_MEMORY,
                ''
                if free >= _SHARED_MEMORY
                else 'Fast DDS needs 64 MB a process for images; in a container: --shm-size=512m',
            )
        )
    return findings


def ros() -> list[Finding]:
    if importlib.util.find_spec('rclpy') is None:
        return [
            Finding(
                'ROS 2', 'not found', False,
                'on a robot source /opt/ros/<distro>/setup.bash; on a workstation '
                'pip install "multimodal_fusion[ros]"; fuse, evaluate and train work without',
            )
        ]  # fmt: skip
    distribution = os.environ.get('ROS_DISTRO') or f'PyPI wheels, rclpy {_version("rclpy")}'
    findings = [
        Finding('ROS 2', distribution),
        Finding('RMW', os.environ.get('RMW_IMPLEMENTATION') or 'default (rmw_fastrtps_cpp)'),
        Finding('ROS_DOMAIN_ID', os.environ.get('ROS_DOMAIN_ID') or '0 (default)'),
    ]
    chosen = [
        f'{name}={os.environ[name]}'
        for name in (
            'FASTDDS_DEFAULT_PROFILES_FILE',
            'FASTRTPS_DEFAULT_PROFILES_FILE',
            'FASTDDS_BUILTIN_TRANSPORTS',
        )
        if os.environ.get(name)
    ]
    findings.append(
        Finding(
            'Fast DDS profile',
            ', '.join(chosen) or 'none set: our nodes use config/fastdds.xml',
            True,
            '' if chosen else 'camera drivers need it too for images over 0.5 MB: see docs/node.md',
        )
    )
    return findings


def runtime() -> list[Finding]:
    built = library() is not None
    kernel = Finding(
        'compiled kernel', 'built' if built else 'not built: ONNX Runtime does its work', True,
        '' if built else 'several times faster: install a C compiler (apt install gcc), then this '
        'package again; in a checkout: python setup.py build_ext --inplace',
    )  # fmt: skip
    return [kernel, *_onnxruntime()]


def _onnxruntime() -> list[Finding]:
    ort = onnxruntime_or_none()
    if ort is None:
        return [
            Finding(
                'ONNX Runtime', 'not found', False,
                'pip install onnxruntime (or onnxruntime-gpu); '
                'the classical fusers and the compiled kernel work without it',
            )
        ]  # fmt: skip
    providers = ort.get_available_providers()
    gpu = any('CUDA' in name or 'Tensorrt' in name for name in providers)
    return [
        Finding('ONNX Runtime', f'{ort.__version__}: {", ".join(providers)}'),
        Finding(
            'GPU for models', 'offered' if gpu else 'none', True,
            '' if gpu else 'only if you need it: pip install "multimodal_fusion[gpu]" and CUDA',
        ),
    ]  # fmt: skip


def models() -> list[Finding]:
    try:
        manifest = Manifest.load()
    except UserError as error:
        return [Finding('models', 'not found', False, str(error))]
    findings = []
    for entry in manifest.entries():
        try:
            read_model(manifest.folder / entry.file, manifest)
            findings.append(Finding(f'model {entry.name}', f'{entry.file}, hash as listed'))
        except UserError as error:
            findings.append(Finding(f'model {entry.name}', 'unusable', False, str(error)))
    return findings


def optional() -> list[Finding]:
    findings = []
    for module, (purpose, advice) in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            findings.append(Finding(module, f'not installed (for {purpose})', True, advice))
        else:
            findings.append(Finding(module, f'{_version(module)} (for {purpose})'))
    return findings


def _version(module: str) -> str:
    if module in ('numpy', 'cv2', 'yaml'):
        return importlib.import_module(module).__version__
    distribution = {'pywt': 'PyWavelets'}.get(module, module)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return 'installed'
