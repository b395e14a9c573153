"""Talk to the real fusion_node over DDS: it runs as its own process, in a domain of its own."""

import itertools
import os
import threading
import time
from contextlib import contextmanager

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from multimodal_fusion.host import processes
from multimodal_fusion.io import messages
from multimodal_fusion.nodes.distro import qos, use_profile

DEADLINE = 30.0
_numbers = itertools.count()
# Test processes of one machine must not hear each other: a domain by process, a namespace by test.
DOMAIN = 1 + os.getpid() % 100


class Rig(Node):
    """Publishes the two streams and collects what the node publishes."""

    def __init__(self, context, namespace, reliability='reliable', listen=True, depth=50):
        super().__init__('rig', namespace=namespace, context=context)
        self.fused: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.statuses: list = []
        profile = qos(reliability, depth)
        self.outputs = {}
        for name in ('rgb', 'thermal'):
            self.outputs[name] = self.create_publisher(Image, f'{name}/image_raw', profile)
            topic = f'{name}/image_raw/compressed'
            self.outputs[name, 'compressed'] = self.create_publisher(
                CompressedImage, topic, profile
            )
            self.outputs[name, 'info'] = self.create_publisher(
                CameraInfo, f'{name}/camera_info', profile
            )
        self._reliable = qos('reliable', depth)
        if listen:
            self.listen()
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._set = self.create_client(SetParameters, 'fusion_node/set_parameters')
        self._get = self.create_client(GetParameters, 'fusion_node/get_parameters')

    def listen(self):
        self.create_subscription(Image, 'fused/image_raw', self.fused.append, self._reliable)
        self.create_subscription(CameraInfo, 'fused/camera_info', self.infos.append, self._reliable)

    def _on_diagnostics(self, message):
        if message.status[0].name.startswith(self.get_namespace()):
            self.statuses.append(message.status[0])

    def send(self, name, pixels, stamp, encoding=None, frame_id='camera', **changes):
        """Publish an image. stamp: nanoseconds."""
        message = messages.fill(Image(), pixels, encoding)
        message.header.frame_id = frame_id
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        for field, value in changes.items():
            setattr(message, field, value)
        self.outputs[name].publish(message)

    def send_compressed(self, name, data, stamp, kind='png'):
        message = CompressedImage(format=kind)
        message.data = data
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self.outputs[name, 'compressed'].publish(message)

    def figures(self):
        """The node's latest diagnostics figures."""
        return {v.key: v.value for v in self.statuses[-1].values} if self.statuses else {}

    def set_parameter(self, name, value):
        """Set one parameter of the node; returns (successful, reason)."""
        kinds = {bool: (1, 'bool_value'), int: (2, 'integer_value'), float: (3, 'double_value'),
                 str: (4, 'string_value')}  # fmt: skip
        number, field = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=number, **{field: value}))
        result = self._call(self._set, SetParameters.Request(parameters=[parameter])).results[0]
        return result.successful, result.reason

    def get_parameter_values(self, *names):
        return self._call(self._get, GetParameters.Request(names=list(names))).values

    def _call(self, client, request):
        assert client.wait_for_service(DEADLINE)
        future = client.call_async(request)
        wait_for(future.done, f'an answer of {client.srv_name}')
        return future.result()


def wait_for(condition, what, deadline=DEADLINE):
    """Until a condition holds; fails with what was waited for when the deadline passes."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f'waited {deadline} s for {what}'
        pause.wait(0.005)


class Running:
    """A fusion_node process with its log, and the rig that talks to it."""

    def __init__(self, process, rig):
        self.process, self.rig, self._lines = process, rig, []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def log(self):
        return ''.join(self._lines)

    def stop(self):
        """Ctrl-C; returns the exit code, with the log complete."""
        code = processes.stop(self.process)
        self._reader.join(DEADLINE)
        return code

    def wait_for_log(self, text, deadline=DEADLINE):
        try:
            wait_for(lambda: text in self.log, f'{text!r} in the log', deadline)
        except AssertionError as error:
            raise AssertionError(f'{error}:\n{self.log}') from None


def start_node(parameters, namespace, *extra):
    arguments = processes.parameter_arguments(parameters)
    arguments += ['-r', f'__ns:={namespace}', *extra]
    return processes.start(
        'multimodal_fusion.nodes.fusion_node',
        arguments,
        processes.local_environment(DOMAIN),
        stdout=-1,
        stderr=-2,
        text=True,
    )


@contextmanager
def running(parameters=None, connected=True, arguments=(), **options):
    """The node on a namespace of its own, connected to a rig that spins in a thread."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    use_profile()
    namespace = f'/t{os.getpid()}_{next(_numbers)}'
    context = Context()
    rclpy.init(args=[], context=context, domain_id=DOMAIN)
    rig = Rig(context, namespace, **options)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(rig)
    spinner = threading.Thread(target=executor.spin, daemon=True)
    spinner.start()
    # Pauses of a busy machine are no silence; tests of silence set their own.
    defaults = {'model.name': 'max', 'stall.timeout': 60.0}
    process = start_node({**defaults, **(parameters or {})}, namespace, *arguments)
    node = Running(process, rig)
    try:
        if connected:
            wait_for(
                lambda: (
                    node.process.poll() is not None
                    or (
                        rig.statuses
                        and all(
                            rig.outputs[name].get_subscription_count()
                            or rig.outputs[name, 'compressed'].get_subscription_count()
                            for name in ('rgb', 'thermal')
                        )
                    )
                ),
                'the node to be up and subscribed',
            )
            assert node.process.poll() is None, node.log
        yield node
    finally:
        node.stop()
        executor.shutdown()
        rig.destroy_node()
        rclpy.shutdown(context=context)
        spinner.join(DEADLINE)
