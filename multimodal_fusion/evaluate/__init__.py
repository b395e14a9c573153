"""Quality and cost of fusion: metrics, data sets and bags, and a report.

from multimodal_fusion.evaluate import Job, evaluate

found = evaluate(Job(data=Path('ivif/val'), models=('mmdrfuse_plus',)))
found.results['summary'], found.write(Path('report'))

Of many bags or data sets: `evaluate_collection` (docs/scale.md).
"""

import importlib

_API = {name: '.run' for name in ('BoxJob', 'Evaluation', 'Job', 'evaluate')} | {
    'Collection': '.collection.tasks',
    'evaluate_collection': '.collection.run',
}


def __getattr__(name: str):
    """Loaded when it is asked for: metrics alone need neither bags nor detectors."""
    if name not in _API:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_API[name], __name__), name)
