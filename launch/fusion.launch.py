"""Start fusion_node: ros2 launch multimodal_fusion fusion.launch.py [name:=value ...]."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('multimodal_fusion')

TOPICS = (
    ('rgb_topic', 'rgb/image_raw', 'RGB images'),
    ('rgb_info_topic', 'rgb/camera_info', 'calibration of the RGB camera'),
    ('thermal_topic', 'thermal/image_raw', 'thermal images'),
    ('thermal_info_topic', 'thermal/camera_info', 'calibration of the thermal camera'),
    ('fused_topic', 'fused/image_raw', 'where the fused images go'),
    ('fused_info_topic', 'fused/camera_info', 'where their calibration goes'),
)


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in TOPICS
    ] + [
        DeclareLaunchArgument('namespace', default_value='', description='of the node'),
        DeclareLaunchArgument(
            'model', default_value='default', description='model.name: a fuser or an .onnx path'
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution([SHARE, 'config', 'fusion.yaml']),
            description='YAML file of node parameters',
        ),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', description='take time from /clock'
        ),
    ]
    node = Node(
        package='multimodal_fusion',
        executable='fusion_node',
        name='fusion_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {
                'model.name': LaunchConfiguration('model'),
                'use_sim_time': LaunchConfiguration('use_sim_time'),
            },
        ],
        remappings=[(default, LaunchConfiguration(name)) for name, default, _ in TOPICS],
        output='screen',
    )
    return LaunchDescription([*arguments, node])
