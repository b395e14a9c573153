"""A homography in the live node: the thermal image lies where the nine numbers put it."""

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, Range
from std_srvs.srv import Trigger

from multimodal_fusion.io import messages
from multimodal_fusion.registration.plane import Pose
from multimodal_fusion.registration.stored import Stored

from ..pipeline.test_preparation import BLACK, MATRIX, SETTINGS, check, thermal
from ..registration.test_camera import LENSES, K, bent
from .frames import START
from .harness import running, wait_for


def test_homography_from_the_start():
    with running(SETTINGS | {'registration.homography': MATRIX}) as node:
        sent = iter(range(10_000))

        def attempt():
            stamp = START + next(sent) * 33_000_000
            node.rig.send('rgb', BLACK, stamp)
            node.rig.send('thermal', thermal(), stamp)
            return bool(node.rig.fused)

        wait_for(attempt, 'a fused image')
        fused = messages.to_visible(node.rig.fused[0])
        assert fused.shape == BLACK.shape and fused.dtype == np.uint8
        check(fused, thermal())


def test_the_nudge_the_mask_and_the_file(tmp_path):
    """Set while it runs, seen in the next image; saved, read back by another node."""
    path = tmp_path / 'registration.yaml'
    parameters = {
        'model.name': 'max', 'registration.file': str(path), 'registration.feather': 0,
    }  # fmt: skip
    pixels, black = thermal(), np.zeros((48, 64, 3), np.uint8)
    with running(parameters) as node:
        rig, masks, sent = node.rig, [], iter(range(10_000))
        rig.create_subscription(Image, 'fused/valid_mask', masks.append, 10)
        client = rig.create_client(Trigger, 'fusion_node/save_registration')
        answer = rig._call(client, Trigger.Request())
        assert not answer.success and 'no pair was fused yet' in answer.message

        def shown(column, level):
            """Whether the newest image has thermal's first column there and nothing before it."""
            stamp = START + next(sent) * 33_000_000
            rig.send('rgb', black, stamp)
            rig.send('thermal', pixels, stamp)
            if not (rig.fused and masks):
                return False
            fused = messages.to_visible(rig.fused[-1])[..., 0]
            mask = np.frombuffer(masks[-1].data, np.uint8).reshape(48, 64)
            first = np.array_equal(fused[:, column], pixels[:, 0])
            return first and (mask[:, :column] == level).all() and (mask[:, column:] == 255).all()

        wait_for(lambda: shown(0, 255), 'a fused image and its mask')
        answer = rig._call(client, Trigger.Request())
        assert not answer.success and 'mode is none and there is no nudge' in answer.message
        assert rig.set_parameter('registration.dx', 7.0) == (True, '')
        wait_for(lambda: shown(7, 0), 'thermal seven pixels to the right')
        answer = rig._call(client, Trigger.Request())
        assert answer.success and str(path) in answer.message
        assert Stored.read(path).matrix[0, 2] == 7
        values = rig.get_parameter_values('registration.mode', 'registration.dx')
        assert values[0].string_value == 'homography' and values[1].double_value == 0
        rig.fused.clear()
        wait_for(lambda: shown(7, 0), 'thermal where it was')
        assert rig.set_parameter('registration.dx', 7.0) == (True, '')
        wait_for(lambda: shown(14, 0), 'the file and a nudge')
        path.write_text('mine: 1')
        answer = rig._call(client, Trigger.Request())
        assert not answer.success and 'is left alone' in answer.message
        done, reason = rig.set_parameter('registration.dx', 8.0)
        assert not done and 'is no registration' in reason


def test_lenses_are_straightened_by_camera_info():
    """Both images bent alike: the fused one is straight, and its camera_info says so."""
    seen, straight = bent('plumb_bob', LENSES['plumb_bob'])
    colour, inner = np.dstack((seen,) * 3), np.s_[40:200, 50:270]
    with running({'model.name': 'max', 'registration.undistort': True}) as node:
        rig, sent = node.rig, iter(range(10_000))

        def attempt(known=True):
            stamp = START + next(sent) * 33_000_000
            for name in ('rgb', 'thermal') if known else ():
                lens = CameraInfo(height=240, width=320, distortion_model='plumb_bob')
                lens.k, lens.d = K, list(LENSES['plumb_bob'])
                rig.outputs[name, 'info'].publish(lens)
            rig.send('rgb', colour, stamp)
            rig.send('thermal', seen, stamp)
            if not (rig.fused and rig.infos) and known:
                return False
            fused = messages.to_visible(rig.fused[-1])[..., 0] if rig.fused else seen
            right = np.abs(fused[inner].astype(int) - straight[inner]).mean() < 4
            return right if known else 'images are used as they are' in node.log

        wait_for(lambda: attempt(known=False), 'a sentence on lenses that are not known')
        wait_for(attempt, 'a straight image')
        assert list(rig.infos[-1].d) == [0.0] * 5 and rig.infos[-1].k[0] == 300


def test_two_calibrated_cameras_and_a_range_finder(tmp_path):
    """Thermal 0.1 m beside RGB, 600 pixels of focal length: a shift of 60 / distance pixels, that
    follows the range; before camera_info it says what is lacking."""
    path = tmp_path / 'rig.yaml'
    beside = Pose(tuple(np.eye(3).ravel()), (0.1, 0.0, 0.0))
    Stored(np.eye(3), (48, 64), (48, 64), {}, beside).write(path)
    parameters = {
        'model.name': 'max', 'registration.mode': 'calibrated', 'registration.file': str(path),
        'registration.distance': 60.0, 'registration.distance_from': 'range',
    }  # fmt: skip
    lens = CameraInfo(height=48, width=64, distortion_model='plumb_bob')
    lens.k = [600.0, 0.0, 31.5, 0.0, 600.0, 23.5, 0.0, 0.0, 1.0]
    black, line = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    line[:, 20] = 255
    with running(parameters) as node:
        rig, sent = node.rig, iter(range(10_000))
        ranges = rig.create_publisher(Range, 'range', 10)

        def shown(column, metres=None, known=True):
            stamp = START + next(sent) * 33_000_000
            for name in ('rgb', 'thermal') if known else ():
                rig.outputs[name, 'info'].publish(lens)
            if metres:
                ranges.publish(Range(range=metres, min_range=0.1, max_range=100.0))
            rig.send('rgb', black, stamp)
            rig.send('thermal', line, stamp)
            if not rig.fused:
                return False
            fused = messages.to_visible(rig.fused[-1])[..., 0]
            return abs(int(fused[10].argmax()) - column) <= 1 and fused[10].max() > 100

        def told(words):
            shown(0, known=False)
            return words in node.log and any(words in s.message for s in rig.statuses)

        wait_for(lambda: told('lacks camera_info of rgb and thermal'), 'what is lacking')
        wait_for(lambda: shown(21), 'the distance that is set')
        assert 'the plane is taken to be at registration.distance (60 m)' in node.log
        wait_for(lambda: shown(40, 3.0), 'the distance that is measured')
        wait_for(lambda: shown(26, 10.0), 'another one')
        assert rig.set_parameter('registration.file', '') == (True, '')
        wait_for(lambda: shown(0, 10.0) or 'tf2_ros is not installed' in node.log, 'a word on tf')
