"""What launch files share."""

from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown


def end_with(node) -> RegisterEventHandler:
    """End the launch when a node ends; with exit code 1 if it failed."""

    def on_exit(event, context):
        if event.returncode and not context.is_shutdown:
            # An exception is the one way to an exit code that ros2 launch has.
            raise RuntimeError(f'{event.process_name} ended with exit code {event.returncode}')
        return [EmitEvent(event=Shutdown(reason=f'{event.process_name} has ended'))]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit))
