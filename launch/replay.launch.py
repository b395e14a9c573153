"""Play a bag through the live node: ros2 launch multimodal_fusion replay.launch.py bag:=PATH."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    ('bag', 'rosbag2 to play: folder, .mcap or .db3'),
    ('model', 'fuser or .onnx path'),
    ('rgb_topic', 'RGB images of the bag, if the name does not tell'),
    ('thermal_topic', 'thermal images of the bag, if the name does not tell'),
    ('rgb_transport', 'raw or compressed, as in the bag'),
    ('thermal_transport', 'raw or compressed, as in the bag'),
    ('speed', 'faster than life: over 1'),
    ('record', 'folder of a new bag for the fused images; nothing is recorded without'),
)
DEFAULTS = {'model': 'default', 'rgb_transport': 'raw', 'thermal_transport': 'raw', 'speed': '1.0'}


def start(context) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name, _ in ARGUMENTS}
    params = PathJoinSubstitution([FindPackageShare('multimodal_fusion'), 'config', 'fusion.yaml'])
    fusion = Node(
        package='multimodal_fusion',
        executable='fusion_node',
        parameters=[
            params,
            {
                'model.name': given['model'],
                'input.rgb_transport': given['rgb_transport'],
                'input.thermal_transport': given['thermal_transport'],
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
    done = OnProcessExit(target_action=player, on_exit=[EmitEvent(event=Shutdown())])
    return [*nodes, player, RegisterEventHandler(done)]


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
