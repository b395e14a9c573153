"""The parameters of a training run: one YAML file, no second default in code."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..io.text_files import read_yaml
from .data.masks import Synthesis
from .data.patches import Augmentation
from .sections import complete, number

# The least value of each number; what each one means is said in config/train/*.yaml.
LEAST = {
    'seed': 0,
    'threads': 1,
    'steps': 1,
    'batch': 1,
    'patch': 32,
    'learning_rate': 0.0,
    'warm_up': 0,
    'evaluate_every': 1,
    'samples': 1,
    'start_noise': 0.0,
}

METHOD_LEAST = {
    'patches': 1,
    'perceived': 0,
    'validation_pairs': 1,
    'validation_side': 32,
}
CHOICES = {
    'schedule': ('constant', 'cosine'),
    'device': ('cpu', 'auto'),
    'start': ('maximum', 'random', 'teacher'),
    'output': ('tanh', 'linear'),
    'gradient': ('paper', 'code', 'signed'),
    'decide': ('patch', 'batch'),
    'norm': ('sample', 'batch'),
    'distil': ('both', 'output'),
    'cache': (True, False),
}


@dataclass(frozen=True)
class Method:
    """What only the recipes mmdr-teacher and mmdr-student have: section ``method``."""

    patches: int
    perceived: int
    validation_pairs: int
    validation_side: int
    schedule: str
    device: str
    start: str
    output: str
    gradient: str
    decide: str
    norm: str
    distil: str
    cache: bool
    widths: tuple[int, ...]
    augmentation: Augmentation

    @classmethod
    def check(cls, content: object, source: str) -> 'Method':
        """The section from a mapping. Raises UserError."""
        content = complete(cls, content, source)
        values = {
            key: number(f'{source}: {key}', content[key], int, least)
            for key, least in METHOD_LEAST.items()
        }
        for key, known in CHOICES.items():
            if content[key] not in known:
                listed = ', '.join(str(value).lower() for value in known)
                raise UserError(f'{source}: {key} must be one of {listed}, got {content[key]!r}')
            values[key] = content[key]
        widths = content['widths']
        if not isinstance(widths, list | tuple) or not widths:
            raise UserError(f'{source}: widths must be a list of whole numbers, got {widths!r}')
        values['widths'] = tuple(number(f'{source}: widths', w, int, 1) for w in widths)
        inner = f'{source}: augmentation'
        found = complete(Augmentation, content['augmentation'], inner)
        values['augmentation'] = Augmentation(
            **{key: number(f'{inner}.{key}', value, float, 0.0) for key, value in found.items()}
        )
        return cls(**values)


@dataclass(frozen=True)
class Config:
    """A training configuration, complete and checked. Make one with `Config.load`."""

    recipe: str
    seed: int
    threads: int
    steps: int
    batch: int
    patch: int
    learning_rate: float
    warm_up: int
    evaluate_every: int
    samples: int
    start_noise: float
    weights: dict[str, float]
    method: Method | None = None
    synthesis: Synthesis | None = None

    @classmethod
    def load(cls, path: Path) -> 'Config':
        """Read a YAML file. Raises UserError that names the key and what was expected."""
        content = read_yaml(path, 'the configuration')
        if not isinstance(content, dict):
            raise UserError(f'the configuration {path} must be a list of "key: value" lines')
        return cls.check(content, str(path))

    @classmethod
    def check(cls, content: dict, source: str) -> 'Config':
        """A configuration from a mapping. source: where it came from, for messages."""
        content = complete(cls, content, source)
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        values = {
            key: number(f'{source}: {key}', content[key], fields[key], LEAST[key]) for key in LEAST
        }
        if not isinstance(content['weights'], dict):
            raise UserError(f'{source}: weights must map loss terms to numbers')
        weights = {
            str(term): number(f'{source}: weights.{term}', value, float, 0.0)
            for term, value in content['weights'].items()
        }
        method = content.get('method')
        if method is not None:
            method = Method.check(method, f'{source}: method')
        synthesis = content.get('synthesis')
        if synthesis is not None:
            synthesis = Synthesis.check(synthesis, f'{source}: synthesis')
        return cls(
            recipe=str(content['recipe']),
            weights=weights,
            method=method,
            synthesis=synthesis,
            **values,
        )

    def to_json(self) -> str:
        """All values as one line, keys sorted: equal configurations give equal lines."""
        values = dataclasses.asdict(self)
        for section in ('method', 'synthesis'):
            if values[section] is None:
                del values[section]  # so that a new section changes no hash of older recipes
        return json.dumps(values, sort_keys=True)

    @property
    def hash(self) -> str:
        """Twelve hex digits that name the configuration, whatever its comments."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
