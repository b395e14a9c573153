"""The tasks by name."""

from pathlib import Path

from ...errors import UserError
from ...host.plugins import named
from ...io.stems import Selection
from .detection import DetectionTask
from .segmentation import SegmentationTask
from .task import Task, TaskSettings

TASKS: dict[str, type[Task]] = {
    'detection': DetectionTask,
    'segmentation': SegmentationTask,
}


def find_task(name: str) -> type[Task]:
    """name: of `TASKS`, or FILE.py:NAME. Raises UserError."""
    return named(name, TASKS, 'task')


def make_task(name: str, data: Path, settings: TaskSettings, selection: Selection) -> Task:
    """Raises UserError."""
    task = find_task(name)(data, settings, selection)
    if not task.items:
        raise UserError(f'the task {name} finds nothing to learn from in {data}')
    return task
