"""A managed node: up by itself, or by a manager; a configuration that fails can be tried again."""

import numpy as np
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from multimodal_fusion.io import messages

from .faults import adds_up
from .frames import START, scene
from .harness import running, wait_for


class Manager:
    """What drives a managed node, such as nav2's manager."""

    def __init__(self, rig):
        self._rig = rig
        self._change = rig.create_client(ChangeState, 'fusion_node/change_state')
        self._get = rig.create_client(GetState, 'fusion_node/get_state')

    def state(self):
        return self._rig._call(self._get, GetState.Request()).current_state.id

    def _do(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self._rig._call(self._change, request).success

    def configure(self):
        return self._do(Transition.TRANSITION_CONFIGURE)

    def activate(self):
        return self._do(Transition.TRANSITION_ACTIVATE)

    def deactivate(self):
        return self._do(Transition.TRANSITION_DEACTIVATE)

    def cleanup(self):
        return self._do(Transition.TRANSITION_CLEANUP)

    def shutdown(self):
        return self._do(Transition.TRANSITION_ACTIVE_SHUTDOWN)


def fuse_until_it_comes(rig, sent):
    visible, thermal = scene(0)
    rig.fused.clear()

    def attempt():
        stamp = START + next(sent) * 33_000_000
        rig.send('rgb', visible, stamp)
        rig.send('thermal', thermal, stamp)
        return rig.fused

    wait_for(attempt, 'a fused image')
    assert not np.array_equal(messages.to_visible(rig.fused[-1]), visible)


def ports(rig, namespace):
    """Topics of the node, but for those that every managed node has."""
    known = rig.get_node_names_and_namespaces
    wait_for(lambda: ('fusion_node', namespace) in known(), 'the node in the graph')
    topics = {
        name for name, _ in rig.get_subscriber_names_and_types_by_node('fusion_node', namespace)
    }
    topics |= {n for n, _ in rig.get_publisher_names_and_types_by_node('fusion_node', namespace)}
    return {name for name in topics if 'image_raw' in name or 'fused' in name or 'range' in name}


def test_driven_by_a_manager_twice_around():
    with running({'autostart': False}, connected=False) as node:
        rig, sent = node.rig, iter(range(100_000))
        manager = Manager(rig)
        assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
        node.wait_for_log('autostart is false: waiting to be configured and activated')
        space = rig.get_namespace()
        for _ in range(2):
            assert not ports(rig, space)
            assert manager.configure() and manager.state() == State.PRIMARY_STATE_INACTIVE
            assert not ports(rig, space)
            assert manager.activate() and manager.state() == State.PRIMARY_STATE_ACTIVE
            fuse_until_it_comes(rig, sent)
            assert manager.deactivate() and manager.state() == State.PRIMARY_STATE_INACTIVE
            wait_for(lambda: not ports(rig, space), 'topics to be closed')
            assert manager.activate()
            fuse_until_it_comes(rig, sent)
            rig.statuses.clear()
            adds_up(node)  # of this activation alone
            assert manager.deactivate() and manager.cleanup()
            assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert node.stop() == 0


def test_a_configuration_that_fails_says_why_and_is_tried_again():
    parameters = {'autostart': False, 'model.name': 'nowhere.onnx'}
    with running(parameters, connected=False) as node:
        rig, manager = node.rig, Manager(node.rig)
        assert not manager.configure()
        assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
        node.wait_for_log('not configured: ')
        assert 'nowhere.onnx' in node.log
        done, reason = rig.set_parameter('model.provider', 'gpu')
        assert not done and 'use one of cpu, cuda, tensorrt' in reason
        done, reason = rig.set_parameter('model.nam', 'max')
        assert not done and 'did you mean model.name?' in reason
        assert rig.set_parameter('model.name', 'max') == (True, '')
        assert manager.configure() and manager.activate()
        fuse_until_it_comes(rig, iter(range(10_000)))
        assert not manager.configure()  # there is no such way from here
        assert manager.state() == State.PRIMARY_STATE_ACTIVE
        assert manager.shutdown() and manager.state() == State.PRIMARY_STATE_FINALIZED
        assert node.stop() == 0


def test_parameters_are_changed_while_it_is_inactive():
    with running({'autostart': False}, connected=False) as node:
        manager = Manager(node.rig)
        assert manager.configure()
        assert node.rig.set_parameter('model.name', 'average') == (True, '')
        assert manager.activate()
        wait_for(lambda: node.rig.figures().get('model') == 'average', 'the other model')


def test_it_goes_up_by_itself_and_can_be_taken_down():
    with running() as node:
        manager = Manager(node.rig)
        assert manager.state() == State.PRIMARY_STATE_ACTIVE
        assert node.rig.get_parameter_values('autostart')[0].bool_value
        assert manager.deactivate() and manager.cleanup()
        assert manager.configure() and manager.activate()
        fuse_until_it_comes(node.rig, iter(range(10_000)))


def test_autostart_that_is_no_boolean_is_refused():
    with running({'autostart': 1.5}, connected=False) as node:
        assert node.process.wait(30) == 2
        node.wait_for_log('parameter autostart must be a boolean, got 1.5')
