"""All parameters in one table: names, defaults, ranges; the files and documents made of it.

python -m multimodal_fusion.pipeline.settings yaml       prints config/fusion.yaml
python -m multimodal_fusion.pipeline.settings markdown   prints the table of the documents
"""

import difflib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from ..detect.detector import DetectorSettings
from ..errors import UserError
from ..fusers.fuser import ModelSettings
from ..io.text_files import read_yaml
from ..parameters import Parameter, option, parameters_of
from ..registration.warp import RegistrationSettings
from .frames import InputSettings, OutputSettings
from .load import LoadSettings
from .pairing import SyncSettings
from .stall import StallSettings
from .thermal import ThermalSettings


@dataclass(frozen=True)
class QosSettings:
    """Quality of service of subscriptions and publishers: ``qos.*``."""

    reliability: str = option(
        'best_effort',
        'Of the image subscriptions. best_effort receives from every publisher.',
        choices=('best_effort', 'reliable'),
        read_only=True,
    )
    depth: int = option(
        5,
        'History depth of subscriptions and publishers.',
        unit='messages',
        low=1,
        high=1000,
        read_only=True,
    )
    output_reliability: str = option(
        'reliable',
        'Of the publishers. reliable reaches every subscriber.',
        choices=('best_effort', 'reliable'),
        read_only=True,
    )


@dataclass(frozen=True)
class Settings:
    """All settings, by stage."""

    model: ModelSettings = field(default_factory=ModelSettings)
    input: InputSettings = field(default_factory=InputSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    thermal: ThermalSettings = field(default_factory=ThermalSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    load: LoadSettings = field(default_factory=LoadSettings)
    stall: StallSettings = field(default_factory=StallSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    qos: QosSettings = field(default_factory=QosSettings)

    def flat(self) -> dict[str, Any]:
        """By the names that ROS has for them, such as ``sync.slop``."""
        return {
            f'{group.name}.{item.name}': getattr(getattr(self, group.name), item.name)
            for group in fields(self)
            for item in fields(getattr(self, group.name))
        }


_GROUPS: dict[str, type] = get_type_hints(Settings)

TABLE: dict[str, Parameter] = {
    parameter.name: parameter
    for name, group in _GROUPS.items()
    for parameter in parameters_of(name, group)
}
"""Every parameter, by name, in the order of documents."""

ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service', 'qos_overrides', 'autostart')
"""Parameters of a node as such, beside those of fusion."""


def checked(values: Mapping[str, Any]) -> Settings:
    """Settings from values by name, over the defaults. Raises UserError where one does not fit."""
    check_names(values)
    given: dict[str, dict[str, Any]] = {group: {} for group in _GROUPS}
    for name, value in values.items():
        group, _, leaf = name.partition('.')
        given[group][leaf] = TABLE[name].check(value)
    return Settings(**{group: kind(**given[group]) for group, kind in _GROUPS.items()})


def check_names(names: Iterable[str]) -> None:
    """Raises UserError that names the nearest known parameter if one is unknown."""
    for name in names:
        if name not in TABLE:
            near = difflib.get_close_matches(name, TABLE, 1)
            hint = f'did you mean {near[0]}?' if near else f'known are {", ".join(TABLE)}'
            raise UserError(f'unknown parameter {name}: {hint}')


def from_file(path: Path) -> dict[str, Any]:
    """The parameters of a ROS parameter file, checked by name and value. Raises UserError."""
    content = read_yaml(path, 'the parameter file')
    try:
        nodes = [
            node['ros__parameters'] or {}
            for name, node in content.items()
            if name.rsplit('/', 1)[-1] in ('**', '*', 'fusion_node')
        ]
        if not all(isinstance(node, dict) for node in nodes):
            raise TypeError('ros__parameters holds no names')
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f'{path} is not a ROS parameter file ("/**:", "ros__parameters:", values): {error}'
        ) from error
    values = {
        name: value
        for node in nodes
        for name, value in _flat(node)
        if name.split('.')[0] not in ROS_PARAMETERS
    }
    check_names(values)
    return {name: TABLE[name].check(value) for name, value in values.items()}


def _flat(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def as_yaml() -> str:
    """config/fusion.yaml: every parameter at its default, with unit and range."""
    lines = [
        '# Parameters of fusion_node. '
        'Generated: python -m multimodal_fusion.pipeline.settings yaml',
        '# Where it says "at start only", the node refuses a change at run time.',
        '/**:',
        '  ros__parameters:',
    ]
    group = ''
    for parameter in TABLE.values():
        head, _, leaf = parameter.name.partition('.')
        if head != group:
            group = head
            lines.append(f'    {head}:')
        notes = [parameter.range_text(), parameter.unit, 'at start only' * parameter.read_only]
        for text in (parameter.description, '; '.join(filter(None, notes))):
            lines += [f'      # {line}' for line in textwrap.wrap(text, 92)]
        lines.append(f'      {leaf}: {_yaml(parameter.default)}')
    return '\n'.join(lines) + '\n'


def as_markdown() -> str:
    """The parameter table of docs/node.md."""
    lines = ['| parameter | default | unit, range | what it does |', '|---|---|---|---|']
    for parameter in TABLE.values():
        span = parameter.range_text().replace('|', '\\|')
        limits = ', '.join(filter(None, (parameter.unit, span)))
        note = ' *At start only.*' * parameter.read_only
        lines.append(
            f'| `{parameter.name}` | `{_yaml(parameter.default)}` | {limits} '
            f'| {parameter.description}{note} |'
        )
    return '\n'.join(lines) + '\n'


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "''"


if __name__ == '__main__':
    print({'yaml': as_yaml, 'markdown': as_markdown}[sys.argv[1]](), end='')
