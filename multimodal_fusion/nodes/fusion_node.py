"""fusion_node: thermal and RGB topics in, the fused image out; a managed (lifecycle) node.

unconfigured  parameters can be set; nothing is loaded
inactive      models are loaded and warm; no topic is open
active        fusing: see `fusing` for the topics

It goes up by itself, unless the parameter autostart is false.
Parameters  multimodal_fusion/pipeline/settings.py; config/fusion.yaml
"""

import sys
import threading
import traceback
from collections.abc import Iterable

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from ..errors import Interrupted, UserError, quoted
from . import process
from .configuration import Configuration, Setup
from .distro import spin
from .fusing import Fusing
from .ros_parameters import check_change, declare, idle_files, in_force

USAGE = (
    'usage: fusion_node [--ros-args -p NAME:=VALUE ... --params-file FILE -r FROM:=TO ...]\n'
    'Parameters: config/fusion.yaml, docs/node.md. Example: fusion_node --ros-args -p '
    'model.name:=max -r rgb/image_raw:=/camera/image_raw'
)
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class FusionNode(LifecycleNode):
    """done: set by whoever ends the node before it is up. Raises UserError for parameters that
    cannot be used."""

    def __init__(self, done: threading.Event | None = None, **options):
        super().__init__(
            'fusion_node',
            automatically_declare_parameters_from_overrides=True,
            allow_undeclared_parameters=True,  # unknown names get our own answer
            **options,
        )
        declare(self)
        self._done = done
        self._configuration: Configuration | None = None
        self._fusing: Fusing | None = None
        self._failure: Exception | None = None  # of the newest transition
        self.add_on_set_parameters_callback(self._on_parameters)

    def autostart(self) -> None:
        """Load and begin, if the parameter says so. Raises whatever failed, which was told."""
        if not self.get_parameter('autostart').value:
            self.get_logger().info(
                'autostart is false: waiting to be configured and activated (ros2 lifecycle set '
                f'{self.get_fully_qualified_name()} configure)'
            )
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != _SUCCESS:
                raise self._failure or UserError('the node cannot be started')

    # Transitions -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load models and warm them up; a failure leaves the node unconfigured, to be retried."""

        def load() -> None:
            self._configuration = Configuration(self, in_force(self), self._done, self._changed)

        return self._try('configured', load)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        def begin() -> None:
            assert self._configuration is not None
            self._fusing = Fusing(self, self._configuration)

        return self._try('activated', begin)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._configuration = None
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        self._configuration = None
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self.on_shutdown(state)

    def _try(self, done: str, work) -> TransitionCallbackReturn:
        """Do what a transition does, or say why not."""
        self._failure = None
        try:
            work()
        except Exception as error:
            self._failure = error
            if not isinstance(error, Interrupted):
                self.get_logger().error(f'not {done}: {error}')
            if not isinstance(error, (Interrupted, UserError)):
                self.get_logger().error(traceback.format_exc())
            return _FAILURE
        return _SUCCESS

    def _end(self, last: bool = False) -> None:
        if self._fusing is not None:
            self._fusing.close(last)
            self._fusing = None

    # While it lives ----------------------------------------------------------------------------

    def _on_parameters(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        if self._configuration is None:
            return check_change(self, parameters)
        if self._fusing is None and (failed := self._configuration.poll()):
            self.get_logger().warning(failed)
        return self._configuration.change(parameters)

    def _changed(self, old: Setup, new: Setup, pairs: list) -> None:
        if self._fusing is not None:
            self._fusing.changed(old, new, pairs)

    def outlive(self, error: Exception) -> None:
        """Count what a message led rclpy itself into, and go on."""
        if self._fusing is not None:
            self._fusing.outlive(error)
        else:
            self.get_logger().error(f'{error!r}')

    def close(self, last: bool = False) -> None:
        """Finish the frame in hand and end. last: the process ends with the node, and a model that
        still runs after a second is cut off."""
        self._end(last)
        self.destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C. Returns 0, or 2 when its arguments cannot be used."""
    words = process.own_words(sys.argv[1:] if args is None else args)
    if words:
        helped = words[0] in ('-h', '--help')
        unknown = '' if helped else f'fusion_node: unknown argument {quoted(words[0])}\n'
        print(unknown + USAGE, file=sys.stdout if helped else sys.stderr)
        return 0 if helped else 2
    try:
        done = process.start(args)
    except Exception as error:  # rcl's own type is private; it comes from a bad --ros-args
        print(f'fusion_node: {error}', file=sys.stderr)
        return 2
    try:
        node = FusionNode(done)
    except UserError as error:
        rclpy.logging.get_logger('fusion_node').fatal(str(error))
        rclpy.shutdown()
        return 2
    try:
        node.autostart()
    except Exception as error:
        rclpy.shutdown()
        return 0 if isinstance(error, Interrupted) else 2
    for sentence in idle_files(node, sys.argv if args is None else args):
        node.get_logger().warning(sentence)
    try:
        spin(node, done, node.outlive)
    finally:
        node.close(last=True)
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
