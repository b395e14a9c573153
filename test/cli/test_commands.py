"""The command line as a whole, and the commands that only tell."""

import json
import subprocess
import sys

import pytest

from multimodal_fusion import cli
from multimodal_fusion.cli import doctor
from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.detect.segmentation import SegmentationModel
from multimodal_fusion.fusers.fuser import Fuser


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, '--help'])
    assert exit_.value.code == 0
    assert f'example: python -m multimodal_fusion {name}' in capsys.readouterr().out


def test_an_unknown_command_ends_with_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fusee'])
    assert exit_.value.code == 2
    assert "invalid choice: 'fusee'" in capsys.readouterr().err


def test_models_lists_what_loads(capsys):
    assert cli.main(['models', '--json']) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {'max', 'guided_filter', 'mmdrfuse', 'mmdrfuse_plus'} <= {row['name'] for row in listed}
    assert sum(row['default'] for row in listed) == 1
    for row in listed:
        if row['kind'] == 'detector':
            assert Detector(row['name']).name == row['name']
        elif row['kind'] == 'segmenter':
            assert SegmentationModel(row['name']).name == row['name']
        else:
            assert Fuser.load(row['name']).kind == row['kind']
        assert row['licence'] and row['description'] and row['source']
    student = next(row for row in listed if row['name'] == 'mmdrfuse')
    assert student['parameters'] == 113 and student['bytes'] > 0
    assert cli.main(['models']) == 0
    assert 'Apache-2.0' in capsys.readouterr().out


def test_doctor_finds_what_is_here_and_says_what_to_do(capsys, monkeypatch):
    assert cli.main(['doctor', '--json']) == 0
    found = {line['what']: line for line in json.loads(capsys.readouterr().out)}
    assert 'CPUExecutionProvider' in found['ONNX Runtime']['found']
    assert found['model mmdrfuse']['good']
    monkeypatch.setattr(doctor, 'onnxruntime_or_none', lambda: None)
    missing = next(line for line in doctor.runtime() if line.what == 'ONNX Runtime')
    assert not missing.good and 'pip install onnxruntime' in missing.advice
    monkeypatch.setattr(doctor, '_SHARED_MEMORY', 2**60)
    shared = next(line for line in doctor.machine() if line.what == 'shared memory')
    assert not shared.good and '--shm-size' in shared.advice


def test_neither_torch_nor_rclpy_is_imported_by_the_core():
    """A robot has no torch, a workstation may have no ROS."""
    code = (
        'import sys, multimodal_fusion.cli as c; c.build_parser(); '
        'import multimodal_fusion.pipeline.pipeline; '
        'print([m for m in ("torch", "rclpy", "rosbags", "tqdm") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_a_closed_pipe_is_no_error():
    command = f'{sys.executable} -m multimodal_fusion doctor | true'
    done = subprocess.run(['bash', '-c', command], capture_output=True, text=True, check=False)
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('old', 'now'),
    [
        (['train', 'pack'], 'data pack'),
        (['train', 'preview-data'], 'data preview'),
        (['train', 'ablate'], 'ablate'),
        (['bench', '--agreement', '--images'], 'bench agreement'),
    ],
)
def test_old_spellings_work_and_name_the_new_one(tmp_path, capsys, old, now):
    if old[0] == 'train':
        pytest.importorskip('torch')
        old += ['--out', str(tmp_path / 'out'), '--data']
    assert cli.main([*old, str(tmp_path / 'none')]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f'multimodal_fusion: "{" ".join(old[:2])}" is called "{now}" now'


@pytest.mark.parametrize(
    ('words', 'now'),
    [
        (['mmdr-student', '--config', 'plus'], 'mmdrfuse_plus'),
        (['mmdr-student'], 'mmdrfuse-cpu'),
        (['mmdr-teacher', '--config', 'quick'], 'mmdrfuse-teacher'),
    ],
)
def test_old_recipes_are_found_under_their_new_names(tmp_path, capsys, words, now):
    pytest.importorskip('torch')
    arguments = ['--data', str(tmp_path / 'none'), '--out', str(tmp_path / 'out')]
    assert cli.main(['train', *words, '--no-perception', *arguments]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(f'is called {now} now')
    assert 'none' in told[1] and 'is missing' in told[1]
