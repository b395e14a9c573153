"""The table of parameters as ROS parameters."""

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from ..parameters import Parameter


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
