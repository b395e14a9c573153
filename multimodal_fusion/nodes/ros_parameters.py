"""The table of parameters as ROS parameters."""

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from ..parameters import Parameter
from ..pipeline.settings import ROS_PARAMETERS, TABLE, Settings, check_names, checked


def declare(node: Node) -> Settings:
    """Declare the table on a node that has declared what the user set; returns the settings.

    What the user set is checked first, so that our sentence is seen. Raises UserError.
    """
    given = {
        name: value.value
        for name, value in node.get_parameters_by_prefix('').items()
        if name.split('.')[0] not in ROS_PARAMETERS
    }
    check_names(given)
    settings = checked({name: value for name, value in given.items() if value is not None})
    values = settings.flat()
    for name, parameter in TABLE.items():
        if name in given:
            node.undeclare_parameter(name)
        node.declare_parameter(name, values[name], describe(parameter), ignore_override=True)
    return settings


def describe(parameter: Parameter) -> ParameterDescriptor:
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
