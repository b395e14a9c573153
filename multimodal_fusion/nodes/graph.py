"""What the ROS graph tells of a topic from which nothing comes, and of names that are taken."""

from __future__ import annotations

from rclpy.node import Node

from ..io.bag_topics import IMAGE_TYPES, nearest_names

IMAGE, COMPRESSED = IMAGE_TYPES
_SUFFIX = '/compressed'


def why_silent(node: Node, name: str, topic: str, kind: str) -> str:
    """Why nothing may come on a stream's topic, and what to set; empty where the graph is no help.

    kind: the type that is subscribed to, such as ``sensor_msgs/msg/Image``.
    """
    transport = f'input.{name}_transport (launch argument {name}_transport)'
    types = _types(node, topic)
    if types and kind not in types:
        if topic.endswith(_SUFFIX) and COMPRESSED in types:
            return (
                f'{topic} holds compressed images: give the topic without {_SUFFIX}, and set '
                f'{transport} to compressed'
            )
        if kind == IMAGE and COMPRESSED in types:
            return f'{topic} has the type {COMPRESSED}, which is subscribed to as {topic}{_SUFFIX}'
        return f'{topic} has the type {", ".join(sorted(types))}, expected {kind}'
    if types:
        return ''
    if kind == IMAGE and COMPRESSED in _types(node, topic + _SUFFIX):
        return f'only {topic}{_SUFFIX} is published: set {transport} to compressed'
    base = topic.removesuffix(_SUFFIX)
    if kind == COMPRESSED and IMAGE in _types(node, base):
        return f'only {base} is published: set {transport} to raw'
    return f'nobody publishes it;{_others(node, topic)}'


def _types(node: Node, topic: str) -> set[str]:
    return {info.topic_type for info in node.get_publishers_info_by_topic(topic)}


def _others(node: Node, topic: str) -> str:
    own = {name for name, _ in node.get_publisher_names_and_types_by_node(
        node.get_name(), node.get_namespace()
    )}  # fmt: skip
    images = sorted(
        name
        for name, types in node.get_topic_names_and_types()
        if set(types) & set(IMAGE_TYPES) and name not in own and node.count_publishers(name)
    )
    if not images:
        return ' no images are published at all that this machine sees (ROS_DOMAIN_ID, network)'
    return f' images are on {", ".join(images[:8])}.{nearest_names(topic, images)}'


def shared_name(node: Node) -> str:
    """A sentence if another node has this one's name; else empty."""
    own = (node.get_name(), node.get_namespace())
    count = node.get_node_names_and_namespaces().count(own)
    if count < 2:
        return ''
    return (
        f'{count} nodes are called {node.get_fully_qualified_name()}: parameters and services '
        'reach any of them; end one, or give it another name or namespace'
    )
