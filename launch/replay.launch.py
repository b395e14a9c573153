"""Play a bag through the live node: ros2 launch multimodal_fusion replay.launch.py bag:=PATH."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from multimodal_fusion.io.bag import Bag
from multimodal_fusion.nodes.launching import end_with

ARGUMENTS = (
    ('bag', 'rosbag2 to play: folder, .mcap or .db3'),
    ('model', 'fuser or .onnx path'),
    ('rgb_topic', 'RGB images of the bag, if the name does not tell'),
    ('thermal_topic', 'thermal images of the bag, if the name does not tell'),
    ('speed', 'faster than life: over 1'),
    ('record', 'folder of a new bag for the fused images; nothing is recorded without'),
)
DEFAULTS = {'model': 'default', 'speed': '1.0'}


def start(context) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name, _ in ARGUMENTS}
    with Bag(Path(given['bag'])) as bag:
        topics = bag.choose(given['rgb_topic'] or None, given['thermal_topic'] or None)
    transports = {
        name: 'compressed' if topics.compressed[topic] else 'raw'
        for name, topic in (('rgb', topics.rgb), ('thermal', topics.thermal))
    }
    params = PathJoinSubstitution([FindPackageShare('multimodal_fusion'), 'config', 'fusion.yaml'])
    fusion = Node(
        package='multimodal_fusion',
        executable='fusion_node',
        parameters=[
            params,
            {
                'model.name': given['model'],
                **{f'input.{name}_transport': how for name, how in transports.items()},
            },
        ],
        output='screen',
    )
    arguments = ['--bag', given['bag'], '--speed', given['speed']]
    for name in ('rgb_topic', 'thermal_topic'):
        if given[name]:
            arguments += [f'--{name.replace("_", "-")}', given[name]]
    nodes = [fusion]
    if given['record']:
        arguments.append('--wait-for-fused')
        nodes.append(
            Node(
                package='multimodal_fusion',
                executable='recorder',
                arguments=[given['record']],
                output='screen',
            )
        )
    player = Node(
        package='multimodal_fusion', executable='player', arguments=arguments, output='screen'
    )
    nodes.append(player)
    return [*nodes, *map(end_with, nodes)]  # the bag is over, or a node has died


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(
            name, description=text, **({} if name == 'bag' else {'default_value': default(name)})
        )
        for name, text in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def default(name: str) -> str:
    return DEFAULTS.get(name, '')
