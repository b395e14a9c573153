"""The configuration of a training run: what every method has, and a section of the method's own.

A method has one complete file, config/train/METHOD.yaml; other files say ``base: METHOD`` and what
they change. Values are checked by pydantic in strict mode: it brings types, ranges, choices and
nested sections, and takes a section's fields as plain annotations, as the settings of the node do.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import UserError, quoted
from ..io.stems import Selection
from ..io.text_files import parse_yaml, read_yaml

RENAMED = {  # of earlier versions: a loss is called as its metric
    'structure': 'ssim',
    'edges': 'qabf',
    'fidelity': 'vif',
    'differences': 'scd',
    'recipe': 'method',
    'learning_rate': 'optimiser.learning_rate',
    'warm_up': 'optimiser.warm_up',
    'weight_decay': 'optimiser.weight_decay',
    'average': 'optimiser.average',
    'schedule': 'optimiser.schedule',
}
_UNITS = {'s': 1, 'min': 60, 'h': 3600}


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for text."""
    if isinstance(value, str) and re.fullmatch(r'[-+]?\d+(\.\d*)?e[-+]?\d+', value):
        return float(value)
    return value


def _seconds(value: Any) -> Any:
    """5 min, 30 s, 2 h or a number of seconds."""
    if isinstance(value, str):
        found = re.fullmatch(r'(\d+(?:\.\d+)?) ?(s|min|h)', value.strip())
        return float(found[1]) * _UNITS[found[2]] if found else _number(value)
    return value


def _present_names(weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        if name in RENAMED:
            raise ValueError(f'the loss term {name} is called {RENAMED[name]} now')
    return weights


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Weights = Annotated[dict[str, Positive], AfterValidator(_present_names)]
"""Of loss terms, by name."""


class Section(BaseModel):
    """A part of a configuration: fields without defaults, checked strictly, frozen."""

    model_config = ConfigDict(strict=True, extra='forbid', frozen=True)


class OptimiserSettings(Section):
    """``optimiser``: of every network that does not have a section of its own."""

    kind: Literal['adam', 'adamw']
    learning_rate: Positive
    weight_decay: Positive
    clip: Positive
    schedule: Literal['constant', 'cosine']
    floor: Share
    warm_up: Annotated[int, Field(ge=0)]
    average: Annotated[Number, Field(ge=0, lt=1)]


class Common(Section):
    """What every method has; what each value means is said in config/train/*.yaml."""

    method: str
    name: str
    seed: Annotated[int, Field(ge=0)]
    threads: Count
    workers: Annotated[int, Field(ge=0)]
    device: Literal['cpu', 'auto', 'cuda']
    precision: Literal['32-true', 'bf16-mixed', '16-mixed']
    steps: Count
    batch: Count
    accumulate: Count
    evaluate_every: Count
    checkpoint_every: Seconds
    samples: Count
    tensorboard: bool
    start: str
    # The last two came later: runs of before have neither.
    stems: str = ''
    without: str = ''
    optimiser: OptimiserSettings


class Config:
    """A configuration, complete and checked. Make one with `Config.load`.

    common: for the engine. section: an instance of the method's ``Settings``. What `Common` has is
    there directly too: ``config.steps``.
    """

    def __init__(self, common: Common, section: Section):
        self.common, self.section = common, section

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or 'common' not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.common, name)

    @classmethod
    def load(cls, path: Path, changes: Iterable[str] = ()) -> Config:
        """Read a YAML file and apply changes, each ``key=value`` with dotted keys.

        Raises UserError that names the key and what was expected.
        """
        return cls.check(changed(read_complete(Path(path)), changes, str(path)), str(path))

    @classmethod
    def check(cls, content: object, source: str) -> Config:
        """A configuration from a mapping. source: where it came from, for messages."""
        from .methods.registry import find_method  # here: methods declare sections by this file

        if not isinstance(content, dict):
            raise UserError(f'{source} must be a list of "key: value" lines')
        name = content.get('method')
        if 'method' not in content and 'recipe' in content:
            raise UserError(
                f'{source} is of an earlier version: it says recipe, now method; begin from a '
                'file in config/train'
            )
        if not isinstance(name, str):
            raise UserError(f'{source}: method must be a name, got {quoted(name)}')
        try:
            method = find_method(name)
        except UserError as error:
            raise UserError(f'{source}: {error}') from error
        common = {key: value for key, value in content.items() if key != name}
        if name not in content:
            raise UserError(f'{source}: missing the section {name}')
        return cls(
            checked(Common, common, source, (name,)),
            checked(method.Settings, content[name], f'{source}: {name}'),
        )

    def content(self) -> dict[str, Any]:
        """The mapping that `check` takes."""
        return {
            **self.common.model_dump(mode='json'),
            self.common.method: self.section.model_dump(mode='json'),
        }

    def to_json(self) -> str:
        """All values as one line, keys sorted: equal configurations give equal lines."""
        return json.dumps(self.content(), sort_keys=True)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.content(), sort_keys=False)

    @property
    def selection(self) -> Selection:
        """Of the pairs of the data. Raises UserError."""
        return Selection.read(self.common.stems, self.common.without)

    @property
    def hash(self) -> str:
        """Twelve hex digits that name the configuration, whatever its comments."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.content() == other.content()

    __hash__ = None  # type: ignore[assignment]


def differences(one: Config, other: Config) -> list[str]:
    """The dotted keys by which two configurations differ, with both values."""
    left, right = (dict(_flat(config.content())) for config in (one, other))
    return [
        f'{key} {left.get(key)} against {right.get(key)}'
        for key in dict.fromkeys((*left, *right))
        if left.get(key) != right.get(key)
    ]


def _flat(tree: dict, prefix: str = '') -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def read_complete(path: Path, depth: int = 0) -> dict[str, Any]:
    """The content of a file over that of its ``base``, a file beside it. Raises UserError."""
    content = read_yaml(path, 'the configuration')
    if not isinstance(content, dict):
        raise UserError(f'the configuration {path} must be a list of "key: value" lines')
    base = content.pop('base', None)
    if base is None:
        return content
    if depth > 8 or not isinstance(base, str):
        raise UserError(f'{path}: base must name a file beside it that has an end, got {base!r}')
    below = read_complete(path.parent / f'{base.removesuffix(".yaml")}.yaml', depth + 1)
    return _merged(below, content, str(path))


def _merged(below: dict, above: dict, source: str, prefix: str = '') -> dict:
    result = dict(below)
    for key, value in above.items():
        if key not in below:
            raise UserError(f'{source}: {unknown(f"{prefix}{key}", key, below)}')
        nested = isinstance(value, dict) and isinstance(below[key], dict)
        if nested and not prefix.endswith('weights.') and key != 'weights':
            value = _merged(below[key], value, source, f'{prefix}{key}.')
        elif nested:
            value = {**below[key], **value}  # terms of one's own are new keys
        result[key] = value
    return result


def changed(content: dict, changes: Iterable[str], source: str) -> dict:
    """A copy with ``key=value`` applied. Raises UserError."""
    content = copy.deepcopy(content)
    for text in changes:
        key, equals, value = text.partition('=')
        if not equals or not key:
            raise UserError(f'{quoted(text)} is no change of the configuration; give key=value')
        put(content, key, parse_yaml(value, key), source)
    return content


def put(content: dict, dotted: str, value: object, source: str) -> None:
    """Set one value by its dotted key, which has to be there; the method's section may be left out:
    ``network`` for ``fusion.network``. Raises UserError."""
    *path, last = dotted.split('.')
    own = content.get(content.get('method'), {})
    if (path[0] if path else last) not in content and (path[0] if path else last) in own:
        content = own
    for part in path:
        inner = content.get(part)
        if not isinstance(inner, dict):
            raise UserError(f'{source}: {unknown(dotted, part, content)}')
        content = inner
    if last not in content and path[-1:] != ['weights']:
        raise UserError(f'{source}: {unknown(dotted, last, {**own, **content})}')
    content[last] = value


def unknown(dotted: str, key: object, known: Iterable[str]) -> str:
    """A sentence about a key that nothing has."""
    if key in RENAMED:
        return f'{key} is called {RENAMED[str(key)]} now'
    near = difflib.get_close_matches(str(key), map(str, known), 1)
    return f'unknown key {str(dotted)!r}' + (f'; did you mean {near[0]!r}?' if near else '')


def checked(kind: type[Section], content: object, source: str, besides: Iterable[str] = ()) -> Any:
    """A section from a mapping. besides: keys that belong beside it. Raises UserError."""
    if not isinstance(content, dict):
        raise UserError(f'{source} must be a list of "key: value" lines, got {quoted(content)}')
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f'{source}: {_sentence(kind, error, besides)}') from None


def _sentence(kind: type[Section], error: ValidationError, besides: Iterable[str]) -> str:
    found = error.errors(include_url=False)
    for item in found:  # a misspelt key first: it explains the missing one
        if item['type'] == 'extra_forbidden':
            *path, key = item['loc']
            return unknown('.'.join(map(str, item['loc'])), key, [*_fields(kind, path), *besides])
    missing = ['.'.join(map(str, i['loc'])) for i in found if i['type'] == 'missing']
    if missing:
        return f'missing {", ".join(missing)}'
    item = found[0]
    name = '.'.join(map(str, item['loc']))
    message = item['msg'].removeprefix('Input should be ').removeprefix('Value error, ')
    verb = 'must be ' if item['msg'].startswith('Input should be ') else ''
    return f'{name} {verb}{message}, got {quoted(item["input"])}'


def _fields(kind: Any, path: Iterable[str | int]) -> list[str]:
    for part in path:
        kind = kind.model_fields[part].annotation if part in kind.model_fields else kind
    return list(getattr(kind, 'model_fields', ()))
