"""The parameters of a training run: one YAML file, no second default in code."""

import contextlib
import dataclasses
import difflib
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..errors import UserError

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
class Augmentation:
    """How a patch is changed; all 0 for not at all. Meanings: config/train/mmdr-*.yaml."""

    gain: float
    gamma: float
    noise: float
    polarity: float
    balance: float


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
class Synthesis:
    """How pairs are made (`synthesis.spoil`): section ``synthesis``; each a range, low to high."""

    gamma: tuple[float, float]
    blur: tuple[float, float]
    over: tuple[float, float]
    dark: tuple[float, float]

    @classmethod
    def check(cls, content: object, source: str) -> 'Synthesis':
        """The section from a mapping. Raises UserError."""
        ranges = {}
        for key, value in complete(cls, content, source).items():
            name = f'{source}: {key}'
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise UserError(f'{name} must be a range such as [0.5, 2.0], got {value!r}')
            low, high = (number(name, x, float, 0.01) for x in value)
            if low > high:
                raise UserError(f'{name} must go from low to high, got {value!r}')
            ranges[key] = (low, high)
        return cls(**ranges)


def complete(kind: type, content: object, source: str) -> dict:
    """A mapping that names exactly the fields of a dataclass. Raises UserError."""
    if not isinstance(content, dict):
        raise UserError(f'{source} must be a list of "key: value" lines')
    fields = [field.name for field in dataclasses.fields(kind)]
    optional = [f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING]
    for key in content:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise UserError(f'{source}: unknown key {key!r}{hint}')
    missing = [key for key in fields if key not in content and key not in optional]
    if missing:
        raise UserError(f'{source}: missing {", ".join(missing)}')
    return content


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
        try:
            content = yaml.safe_load(Path(path).read_text())
        except OSError as error:
            raise UserError(f'the configuration {path} cannot be read: {error.strerror}') from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f'the configuration {path} is not YAML: {error}') from error
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


def number(name: str, value: object, kind: type, least: float) -> int | float:
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 takes 1e-3 for text
            value = float(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    if not fits or value < least:
        what = 'a whole number' if kind is int else 'a number'
        raise UserError(f'{name} must be {what} of at least {least:g}, got {value!r}')
    return kind(value)
