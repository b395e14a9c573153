"""Start fusion_node: ros2 launch multimodal_fusion fusion.launch.py [name:=value ...]."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from multimodal_fusion.nodes.launching import end_with

SHARE = FindPackageShare('multimodal_fusion')

TOPICS = (
    ('rgb_topic', 'rgb/image_raw', 'RGB images'),
    ('rgb_info_topic', 'rgb/camera_info', 'its calibration, if not camera_info beside the images'),
    ('thermal_topic', 'thermal/image_raw', 'thermal images'),
    ('thermal_info_topic', 'thermal/camera_info', 'as rgb_info_topic'),
    ('fused_topic', 'fused/image_raw', 'where the fused images go'),
    ('fused_info_topic', 'fused/camera_info', 'their calibration, if not beside them'),
    ('state_topic', 'fused/state', 'what goes out and how the streams are'),
    ('blend_mask_topic', 'fused/blend_mask', 'where the mask of a blending model goes'),
    ('detections_topic', 'fused/detections', 'where the detections go; as JSON: with _json'),
    ('detections_image_topic', 'fused/detections_image', 'where the image with boxes goes'),
)


OPTIONS = (
    ('namespace', '', 'of the node'),
    ('params_file', None, 'YAML file of node parameters'),
    ('model', '', 'fuser or .onnx path, instead of model.name in params_file'),
    ('detector', '', 'true: detect objects on the fused image'),
    ('detector_model', '', 'detector by name or .onnx, instead of detector.model in params_file'),
    ('allow_unlisted', '', 'true: load model files that models.yaml does not list'),
    ('use_sim_time', '', 'true: take time from /clock'),
    ('rgb_transport', '', 'raw or compressed: how RGB images come'),
    ('thermal_transport', '', 'the same of thermal images'),
    ('autostart', '', 'false: wait to be configured and activated, as by a lifecycle manager'),
    ('respawn', 'false', 'true: start the node again when it ends'),
)

# Arguments that override the parameter file, where they are given.
PARAMETERS = {
    'model': 'model.name',
    'detector': 'detector.enabled',
    'detector_model': 'detector.model',
    'allow_unlisted': 'model.allow_unlisted',
    'use_sim_time': 'use_sim_time',
    'autostart': 'autostart',
    'rgb_transport': 'input.rgb_transport',
    'thermal_transport': 'input.thermal_transport',
}


def start(context) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    values = {'true': True, 'false': False}
    overrides = {
        PARAMETERS[name]: values.get(text.lower(), text) for name, text in given.items() if text
    }
    respawn = LaunchConfiguration('respawn').perform(context).lower() == 'true'
    node = Node(
        package='multimodal_fusion',
        executable='fusion_node',
        name='fusion_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), overrides],
        remappings=[
            *((default, LaunchConfiguration(name)) for name, default, _ in TOPICS),
            ('fused/detections_json', [LaunchConfiguration('detections_topic'), '_json']),
        ],
        output='screen',
        respawn=respawn,
        respawn_delay=2.0,
    )
    return [node] if respawn else [node, end_with(node)]


def generate_launch_description() -> LaunchDescription:
    defaults = {'params_file': PathJoinSubstitution([SHARE, 'config', 'fusion.yaml'])}
    arguments = [
        DeclareLaunchArgument(name, default_value=defaults.get(name, default), description=text)
        for name, default, text in (*TOPICS, *OPTIONS)
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
