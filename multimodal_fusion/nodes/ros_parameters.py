"""The table of parameters as ROS parameters."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..errors import UserError, quoted
from ..io.text_files import read_yaml
from ..parameters import Parameter as Entry
from ..pipeline.settings import ROS_PARAMETERS, TABLE, Settings, check_names, checked

_AUTOSTART = ParameterDescriptor(
    description='Configure and activate by itself; false: a lifecycle manager does.', read_only=True
)


def declare(node: Node) -> None:
    """Declare the table on a node that has declared what the user set.

    What the user set is checked first, so that our sentence is seen. Raises UserError.
    """
    given = {
        name: value.value
        for name, value in node.get_parameters_by_prefix('').items()
        if name.split('.')[0] not in ROS_PARAMETERS
    }
    simulated = node.get_parameter('use_sim_time').value
    if not isinstance(simulated, bool):
        raise UserError(f'parameter use_sim_time must be a boolean, got {quoted(simulated)}')
    started = node.get_parameter('autostart').value if node.has_parameter('autostart') else True
    if not isinstance(started, bool):
        raise UserError(f'parameter autostart must be a boolean, got {quoted(started)}')
    if node.has_parameter('autostart'):
        node.undeclare_parameter('autostart')
    node.declare_parameter('autostart', started, _AUTOSTART, ignore_override=True)
    check_names(given)
    settings = checked({name: value for name, value in given.items() if value is not None})
    values = settings.flat()
    for name, parameter in TABLE.items():
        if name in given:
            node.undeclare_parameter(name)
        node.declare_parameter(name, values[name], describe(parameter), ignore_override=True)
    if hasattr(node, 'add_pre_set_parameters_callback'):  # not in Humble
        node.add_pre_set_parameters_callback(_whole_numbers)


def in_force(node: Node) -> Settings:
    """The settings that the node's parameters are. Raises UserError."""
    return checked({name: node.get_parameter(name).value for name in TABLE})


def check_change(node: Node, parameters: Iterable[Parameter]) -> SetParametersResult:
    """Whether parameters can be set while nothing is built from them yet."""
    given = {p.name: p.value for p in parameters if p.name.split('.')[0] not in ROS_PARAMETERS}
    try:
        check_names(given)
        checked({**in_force(node).flat(), **given})
    except UserError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _whole_numbers(changes: list[Parameter]) -> list[Parameter]:
    """A whole number is a number too: ``ros2 param set ... sync.slop 1``."""
    return [
        Parameter(p.name, value=float(p.value))
        if type(p.value) is int and p.name in TABLE and isinstance(TABLE[p.name].default, float)
        else p
        for p in changes
    ]


def idle_files(node: Node, argv: Sequence[str]) -> Iterator[str]:
    """A sentence for each parameter file among the arguments of which nothing is for this node."""
    name = node.get_fully_qualified_name()
    for option, path in pairwise(argv):
        if option != '--params-file':
            continue
        try:
            keys = list(read_yaml(Path(path), 'the parameter file') or {})
        except (UserError, TypeError):
            continue  # rcl has refused it
        if not any(_meant(str(key), name) for key in keys):
            others = ', '.join(map(str, keys)) or 'no node'
            yield (
                f'nothing of {path} is in force: it is for {others}, and this is {name}; begin it '
                'with "/**:" for any name'
            )


def _meant(key: str, name: str) -> bool:
    """Whether a key of a parameter file means a node; * is one part of its name, ** any."""
    wild = {'**': '(/[^/]+)*', '*': '/[^/]+'}
    parts = [wild.get(part, '/' + re.escape(part)) for part in key.split('/') if part]
    return re.fullmatch(''.join(parts), name) is not None


def describe(parameter: Entry) -> ParameterDescriptor:
    """The ROS descriptor of a table entry."""
    descriptor = ParameterDescriptor(
        description=parameter.description,
        read_only=parameter.read_only,
        additional_constraints=', '.join(filter(None, (parameter.range_text(), parameter.unit))),
    )
    if parameter.low is not None:
        if isinstance(parameter.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=parameter.low, to_value=parameter.high)
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high))
            ]
    return descriptor
