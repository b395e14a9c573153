"""Fusing between an activation and the next deactivation: topics in, topics out.

Subscribes  rgb/image_raw, thermal/image_raw  (or .../compressed, by input.*_transport)
            rgb/camera_info or thermal/camera_info  (that of output.reference)
Publishes   fused/image_raw, fused/image_raw/compressed, fused/blend_mask  (output.py)
            fused/camera_info, /diagnostics
            fused/state  (what goes out and how the streams are; latched)
            thermal/temperature, thermal/hottest  (temperature.py)
            fused/valid_mask  (mono8, 255 where thermal is seen; registration.py)
            fused/detections_image, fused/detections  (if detector.enabled; detections.py)
"""

import threading
import time
import traceback
from functools import partial
from operator import attrgetter

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from ..errors import UserError
from ..io.messages import BadImage
from ..pipeline.frames import Frame, Lone, stamp_of
from ..pipeline.health import WARN, Health
from ..pipeline.load import Backlog
from ..pipeline.pairing import OTHER, STREAMS, Pair, Pairer
from ..pipeline.pipeline import fuse_pair_all, stand_in
from ..pipeline.stages import Laps
from ..registration.warp import Registration
from ..runtime.session import end_runs
from .camera_info import CameraInfoPorts
from .configuration import Configuration, Setup
from .detections import DetectionOutput, Work
from .diagnostics import Diagnostics, QosWatch, Teller, gist
from .distro import latched, qos
from .geometry import GeometryPorts
from .graph import shared_name, why_silent
from .output import FusedOutput
from .registration import RegistrationPorts
from .slot import Slot
from .temperature import TemperaturePorts

_PRESENT = 10.0  # seconds: an older stamp is of another time, such as a bag's


class Fusing:
    """Receives and pairs in the executor's thread; fuses and publishes in one worker thread.

    From its making to `close`; its topics are there for as long. configuration: loaded, and asked
    for what is in force from frame to frame.
    """

    def __init__(self, node: Node, configuration: Configuration):
        self._node, self._configuration = node, configuration
        configuration.begin_anew()
        self._before = _entities(node)
        self._frame_ids: dict[str, str] = {}  # the newest of each stream
        self._newest: dict[str, Frame] = {}
        self._shape: tuple[int, ...] | None = None  # of the image that went out last
        self._state = ''
        self._tell = Teller(node).tell
        load = configuration.current.settings.load
        self._slot = Slot(Backlog(load.queue, load.max_age))
        self._connect()
        # Steady: diagnostics must go on when simulated time stands still.
        node.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._worker = threading.Thread(target=self._work, name='fuse', daemon=True)
        self._worker.start()
        self._announce()

    # Set-up ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        s = self._configuration.current.settings
        inputs = qos(s.qos.reliability, s.qos.depth)
        outputs = qos(s.qos.output_reliability, s.qos.depth)
        transports = {'rgb': s.input.rgb_transport, 'thermal': s.input.thermal_transport}
        topics: dict[str, str] = {}
        self._kinds: dict[str, type] = {}
        for name in STREAMS:
            kind, topic = Image, self._node.resolve_topic_name(f'{name}/image_raw')
            if transports[name] == 'compressed':
                # As image_transport: a remapped base topic takes its transports along.
                kind, topic = CompressedImage, f'{topic}/compressed'
            topics[name], self._kinds[name] = topic, kind
        self._topics = topics
        self._health = Health(topics, s.stall, time.monotonic())
        watch = QosWatch(self._node, self._health)
        for name in STREAMS:
            self._node.create_subscription(
                self._kinds[name],
                topics[name],
                partial(self._on_image, name),
                inputs,
                event_callbacks=watch.subscription(name, topics[name]),
            )
        self._infos = CameraInfoPorts(self._node, inputs, outputs, self._registers)
        self._geometry = GeometryPorts(self._node, inputs, self._registers, self._frame_ids)
        self._fused = FusedOutput(self._node, outputs, watch, self._tell)
        self._states = self._node.create_publisher(String, 'fused/state', latched())
        self._registration = RegistrationPorts(self._node, outputs, self._registers)
        self._temperature = TemperaturePorts(
            self._node, outputs, lambda: self._configuration.current.settings.thermal, self._tell
        )
        self._boxes = DetectionOutput(self._node, outputs, self._refuse)
        self._diagnostics = Diagnostics(self._node)

    def _registers(self) -> Registration:
        return self._configuration.current.pipeline.preparation.registration

    def _announce(self) -> None:
        pipeline = self._configuration.current.pipeline
        fuser, detector = pipeline.fuser, pipeline.detector
        self._node.get_logger().info(f'fusing with {fuser.name} on {fuser.provider}')
        self._boxes.announce(detector)
        old = self._configuration.current.settings.stall.notice
        for notice in filter(None, [*pipeline.notices, old]):
            self._node.get_logger().warning(notice)

    # Receiving, in the executor's thread -------------------------------------------------------

    def _on_image(self, name: str, message: Image | CompressedImage) -> None:
        frame = Frame(message, time.monotonic())
        listened = self._listened()
        try:
            stamp = self._arrived(name, frame)
            pairs = self._configuration.current.receiver.take(name, frame, stamp, observe=listened)
        except Exception as error:  # the node outlives whatever one message does to it
            self._refuse(name, error)
            return
        if name == 'thermal':
            self._health.observed(frame.thermal.frozen if frame.thermal else 0.0)
            self._temperature.seen(frame)
        self._hand_over(pairs, frame, listened)
        self._newest[name] = frame
        if listened and not pairs and self._health.alone(frame.clock) == name:
            self._stand_in(name, frame)
        self._tell_state(frame.clock)

    def _stand_in(self, name: str, frame: Frame) -> None:
        """The partner is silent."""
        act = self._health.act(frame.clock)
        if act == 'drop':
            self._health.held_back()
            return
        held = self._newest.get(OTHER[name]) if act == 'hold' else None
        self._health.replaced(self._slot.put((Lone(name, frame, held), time.monotonic()), alone))

    def _hand_over(self, pairs: list[Pair], frame: Frame, listened: bool) -> None:
        for pair in pairs:
            wanted = listened and pair.thermal.thermal is not None
            dropped = self._slot.put((pair, time.monotonic()), alone) if wanted else 0
            self._health.paired(pair.gap, frame.arrival, dropped, wanted, frame.clock)

    def _tell_state(self, clock: float) -> None:
        state = self._health.state(clock, time.monotonic())
        if state != self._state:
            self._state = state
            self._states.publish(String(data=state))

    def _arrived(self, name: str, frame: Frame) -> int:
        """Note the arrival; returns the stamp in nanoseconds, that of arrival if it has none."""
        stamp, now = stamp_of(frame.header), self._node.get_clock().now()
        frame.clock = now.nanoseconds * 1e-9
        frame.age = frame.clock - stamp * 1e-9
        self._frame_ids[name] = frame.header.frame_id
        stamped = stamp != 0
        if not stamped:
            frame.header.stamp, stamp = now.to_msg(), now.nanoseconds
            self._tell(
                f'{name} unstamped',
                f'frames on {name}/image_raw carry no stamp; they are paired by their arrival',
                every=3600.0,
            )
        self._health.arrived(name, stamp, frame.arrival, stamped, frame.clock)
        return stamp

    def _listened(self) -> bool:
        """Nothing is computed while nobody listens."""
        pipeline = self._configuration.current.pipeline
        return (
            (pipeline.detector is not None and self._boxes.listened())
            or any(p.listened() for p in (self._infos, self._registration, self._temperature))
            or self._fused.listened(pipeline.fuser)
        )

    # Fusing, in the worker thread --------------------------------------------------------------

    def _work(self) -> None:
        while (item := self._slot.take()) is not None:
            try:
                if isinstance(item[0], Lone):
                    self._let_out(*item)
                else:
                    self._fuse(*item)
            except BadImage as error:
                self._refuse('rgb', error, pair=True)
            except Exception as error:  # the node outlives whatever one frame does to it
                if (
                    self._slot.closed or not self._node.context.ok()
                ):  # the node ends, and cut it off
                    continue
                self._refuse('pair', error, pair=True)
                if not isinstance(error, UserError):
                    self._tell('traceback', traceback.format_exc(), every=10.0)

    def _let_out(self, lone: Lone, handed_over: float) -> None:
        """Publish the image of one stream alone, or with the last one of the other."""
        setup = self._configuration.current
        image = stand_in(setup.pipeline, setup.settings, lone, self._shape)
        if image is None:
            self._health.held_back()
            return
        stamp, reference = lone.frame.header.stamp, setup.settings.output.reference
        frame_id = self._frame_ids.get(reference, lone.frame.header.frame_id)
        header = Header(stamp=stamp, frame_id=frame_id)
        lap, self._shape = Laps(handed_over), image.shape
        self._publish(image, header, lap)
        self._health.published(lap.last - lone.frame.arrival, alone=lone.name, pair=False)
        if setup.settings.detector.input in ('fused', 'both', lone.name):
            self._boxes.offer(Work(setup.pipeline, setup.settings, None, image, header))

    def _fuse(self, pair: Pair, handed_over: float) -> None:
        setup = self._configuration.current
        settings, pipeline = setup.settings, setup.pipeline
        lap = Laps(handed_over)
        lap('wait')
        found = fuse_pair_all(pipeline, settings, pair, lap)
        if found is None:
            self._health.held_back(pair=True)
        else:
            header = getattr(pair, settings.output.reference).header
            self._shape = found.image.shape
            self._publish(pipeline.shown(found), header, lap)
            self._fused.publish_mask(found.mask, header)
            self._registration.fused(header, pair.thermal.thermal.counts, found.image)
            later = max(pair.rgb, pair.thermal, key=attrgetter('arrival'))
            if 0 <= later.age < _PRESENT:
                lap.seconds['receive'] = later.age
            lap.seconds |= {
                'observe': pair.thermal.observing,
                'pair': handed_over - later.arrival - later.observing,
            }
            alone = '' if found.thermal is not None else 'rgb'
            self._health.published(lap.last - later.arrival, lap.seconds, alone, lap.last)
            self._boxes.offer(Work(pipeline, settings, pair, found.image, header))

    def _publish(self, fused: np.ndarray, header, lap: Laps) -> None:
        settings = self._configuration.current.settings.output
        self._fused.publish(fused, header, settings, lap)
        if sentence := self._infos.pass_on(settings.reference, header, fused):
            self._tell('camera_info', sentence, every=60.0)

    def _refuse(self, stage: str, error: Exception, pair: bool = False) -> None:
        """Count a frame or pair that cannot be used, and say so at most once a second."""
        reason = getattr(error, 'reason', 'mismatch' if isinstance(error, UserError) else 'failed')
        self._health.refused(f'{stage} {reason}', str(error), pair)
        self._tell(stage, f'{stage}: {error}', every=1.0)

    # Once a second, and on changes -------------------------------------------------------------

    def _on_second(self) -> None:
        settings = self._configuration.current.settings
        now, clock = time.monotonic(), self._node.get_clock().now().nanoseconds * 1e-9
        self._look_around(clock)
        silence = self._health.silence(now, settings.sync)
        if silence:
            self._tell('silence', silence, every=settings.stall.warn_after)
        pairer = self._configuration.current.receiver.pairer
        report = self._health.report(now, settings.sync, pairer.counters, pairer.rhythm, clock)
        if report.level == WARN:
            self._tell(gist(report.message), report.message, every=60.0)
        self._tell_state(clock)
        fuser = self._configuration.current.pipeline.fuser
        figures = {
            'fused subscribers': str(self._fused.subscribers()),
            'pairs waiting': str(len(self._slot)),
            'model': fuser.name,
            'provider': fuser.provider,
            **self._boxes.figures(),
        }
        if isinstance(pairer, Pairer):
            figures |= {f'{name} waiting': str(pairer.waiting(name)) for name in STREAMS}
        self._diagnostics.publish(report, figures)

    def _look_around(self, clock: float) -> None:
        """What else there is to know: clock, models, the ROS graph."""
        self._health.clock(stands=clock == 0)
        loading = self._configuration.poll()
        if loading:
            self._tell('loading', loading, every=10.0)
        notices = [loading] * bool(loading) + self._configuration.current.pipeline.notices
        self._health.noticed('; '.join(notices))
        shared = shared_name(self._node)
        self._health.conflict('node', shared)
        if shared:
            self._tell('name', shared, every=60.0)
        for name, kind in self._kinds.items():
            quiet = self._health.quiet(name, time.monotonic())
            topic = self._topics[name]
            type_ = f'sensor_msgs/msg/{kind.__name__}'
            self._health.hint(name, why_silent(self._node, name, topic, type_) if quiet else '')
        for name, ports in (('lenses', self._infos), ('geometry', self._geometry)):
            sentence = ports.poll()
            self._health.conflict(name, sentence)
            if sentence:
                self._tell(gist(sentence), sentence, every=60.0)
        missing = self._infos.missing(self._configuration.current.settings.output.reference)
        if missing and self._shape is not None:
            self._tell('no camera_info', missing, every=3600.0)

    def changed(self, old: Setup, new: Setup, pairs: list[Pair]) -> None:
        """The settings changed; pairs: what frames make by the new ones."""
        self._health.retuned(new.settings.stall)
        for pair in pairs:
            self._hand_over(
                [pair], max(pair.rgb, pair.thermal, key=attrgetter('arrival')), self._listened()
            )
        renewed = new.pipeline.fuser is not old.pipeline.fuser
        detector = new.pipeline.detector
        renewed |= detector is not None and not detector.same_model(old.pipeline.detector)
        if renewed:
            self._announce()

    def outlive(self, error: Exception) -> None:
        """Count what a message led rclpy itself into, and go on."""
        self._refuse('message', error)

    def close(self, last: bool = False) -> None:
        """Finish the frame in hand and stop the worker. last: the process ends with the node, and
        a model that still runs after a second is cut off."""
        self._slot.close()
        self._worker.join(timeout=1.0)
        if last:
            end_runs()
        self._worker.join(timeout=5.0)
        self._boxes.close()
        for kind, kept in self._before.items():
            for entity in set(getattr(self._node, kind)) - kept:
                getattr(self._node, f'destroy_{kind[:-1]}')(entity)


def _entities(node: Node) -> dict[str, set]:
    """What a node has of everything that is made and destroyed."""
    return {
        kind: set(getattr(node, kind))
        for kind in ('publishers', 'subscriptions', 'services', 'timers')
    }


def alone(waiting: tuple) -> bool:
    """Whether it waits without a partner: whatever comes next is better."""
    return isinstance(waiting[0], Lone)
