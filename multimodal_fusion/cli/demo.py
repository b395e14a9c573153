"""The whole thing on real DDS: a player, the real fusion_node and a recorder as three processes."""

import argparse
import csv
import importlib.util
import json
import platform
import shutil
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..benchmark.statistics import percentiles
from ..detect.detection import Detection
from ..errors import UserError
from ..host import processes
from ..host.machine import cpu_name
from ..io import messages
from ..io.bag import Bag, header_stamp, type_store
from ..io.image_files import write_image
from ..io.pixels import letterbox, side_by_side
from ..io.sources import open_source
from ..io.video import VideoSink
from ..io.whole_files import make_folder, whole_file
from ..pipeline.timeline import MISSING, Timeline

HELP = 'Fuse a moving scene (or a bag, or a folder of pairs) over DDS and show what came out.'
EXAMPLE = 'python -m multimodal_fusion demo --data path/with/vis/and/ir --model max'

_PICTURES = 6  # rows of the contact sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--bag', type=Path, help='play this rosbag2 (MCAP or sqlite3)')
    source.add_argument('--data', type=Path, help='play the pairs of DATA/vis and DATA/ir')
    parser.add_argument('--rgb-topic', help='of the bag, if its name does not tell')
    parser.add_argument('--thermal-topic', help='of the bag, if its name does not tell')
    parser.add_argument('--seconds', type=float, help='how much to play (scene: 20)')
    parser.add_argument('--model', default='default', help='fuser; "models" lists them')
    parser.add_argument(
        '--detector', metavar='MODEL', help='detect too, on every third image; by name or .onnx'
    )
    parser.add_argument(
        '--rerun', type=Path, metavar='FILE.rrd',
        help='write a time line for Rerun, too: both cameras, fused, boxes, gaps and losses',
    )  # fmt: skip
    parser.add_argument('-o', '--output', type=Path, default=Path('demo'), help='(default: demo)')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')


@dataclass
class Outcome:
    """What the three processes left behind. Times are monotonic nanoseconds."""

    published: dict[str, dict[int, int]]  # stream -> stamp -> time of publication
    received: dict[int, int]  # stamp -> time of reception
    times: dict[tuple[str, int], int]  # stream, stamp -> nanoseconds since the start of the source
    usage: list[tuple[int, float, int]] = field(default_factory=list)  # time, CPU s, bytes
    diagnostics: dict[str, str] = field(default_factory=dict)


def run(args: argparse.Namespace) -> int:
    if importlib.util.find_spec('rclpy') is None:
        raise UserError(
            'the demo needs ROS 2: source /opt/ros/<distro>/setup.bash, or '
            'pip install "multimodal_fusion[ros]"'
        )
    if args.rerun and importlib.util.find_spec('rerun') is None:
        raise UserError(MISSING)
    source = open_source(args.data, args.bag, args.seconds, args.rgb_topic, args.thermal_topic)
    output = make_folder(args.output)
    bag = output / 'fused_bag'
    with tempfile.TemporaryDirectory(dir=output, prefix='.') as scratch:
        outcome = play(args, source, Path(scratch))
        if not outcome.received:
            seen = last_diagnostics(Path(scratch) / 'bag')
            raise UserError(
                f'no fused image came out; the node had {seen.get("rgb frames", 0)} RGB and '
                f'{seen.get("thermal frames", 0)} thermal images, {seen.get("pairs", 0)} pairs, '
                f'refused {seen.get("refused", 0)}; messages above or "replay" say why'
            )
        shutil.rmtree(bag, ignore_errors=True)
        (Path(scratch) / 'bag').rename(bag)
    topic = '/fused/image_raw'
    outcome.diagnostics = last_diagnostics(bag)
    figures = measure(outcome)
    with whole_file(output / 'results.json') as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + '\n')
    write_video(output / 'fused.mp4', bag, topic, source.rate)
    write_sheet(output / 'sheet.png', bag, topic, source, outcome)
    if args.rerun:
        write_timeline(args.rerun, bag, topic, source, outcome)
    print(json.dumps(figures, indent=2) if args.json else table(figures))
    if not args.json:
        print(f'look at: {output}/sheet.png, {output}/fused.mp4, {bag} (rosbag2, MCAP)')
    return 0


def play(args: argparse.Namespace, source, scratch: Path) -> Outcome:
    """Run recorder, node and player; watch the node meanwhile."""
    environment = processes.local_environment()
    # The player takes its time to start, which is no reason to warn; and what is compared below
    # is pairs with fused images, so that no stream goes out alone.
    parameters = {'model.name': args.model, 'stall.warn_after': 20.0, 'stall.timeout': 60.0}
    for name, compressed in source.compressed.items():
        parameters[f'input.{name}_transport'] = 'compressed' if compressed else 'raw'
    if args.data is not None:
        parameters |= {'thermal.memory': 0.0}  # the pictures have nothing to do with each other
    if args.detector:
        parameters |= {
            'detector.enabled': True,
            'detector.model': args.detector,
            'model.allow_unlisted': True,
        }
    arguments = [str(x) for k, v in player_options(args, scratch).items() if v for x in (k, v)]
    commands = {
        'recorder': [str(scratch / 'bag'), '--log', str(scratch / 'received.csv')],
        'fusion_node': processes.parameter_arguments(parameters),
        'player': [*arguments, '--wait-for-fused'],
    }
    if args.detector:
        commands['recorder'].append('--detections')
    running = {}
    try:
        for name, words in commands.items():
            with processes.undisturbed():
                module = f'multimodal_fusion.nodes.{name}'
                running[name] = processes.start(module, words, environment)
        usage = watch(running['fusion_node'], running['player'])
        time.sleep(1.2)  # the last frames and one more diagnostics message
    finally:
        codes = {name: processes.stop(running[name]) for name in reversed(running)}
    if any(codes.values()):
        ended = ', '.join(f'{name} with {code}' for name, code in codes.items())
        raise UserError(f'the processes of the demo ended: {ended}; the messages above say why')
    published: dict[str, dict[int, int]] = {'rgb': {}, 'thermal': {}}
    times = {}
    for stream, stamp, moment, time_ in read_csv(scratch / 'published.csv'):
        published[stream][int(stamp)] = int(moment)
        times[stream, int(stamp)] = int(time_)
    received = {int(s): int(moment) for s, moment in read_csv(scratch / 'received.csv')}
    return Outcome(published, received, times, usage)


def player_options(args: argparse.Namespace, scratch: Path) -> dict:
    """The player's options; those without a value are left out."""
    return {
        '--bag': args.bag,
        '--data': args.data,
        '--seconds': args.seconds,
        '--rgb-topic': args.rgb_topic,
        '--thermal-topic': args.thermal_topic,
        '--log': scratch / 'published.csv',
    }


def watch(node, player) -> list[tuple[int, float, int]]:
    """(time, CPU seconds, resident bytes) of the node, twice a second, until the player ends."""
    try:
        import psutil
    except ImportError:
        player.wait()
        return []
    process, usage = psutil.Process(node.pid), []
    while player.poll() is None and node.poll() is None:
        cpu = process.cpu_times()
        usage.append((time.monotonic_ns(), cpu.user + cpu.system, process.memory_info().rss))
        time.sleep(0.5)
    return usage


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline='') as file:
        return list(csv.reader(file))


def last_diagnostics(bag: Path) -> dict[str, str]:
    """The figures that the node reported last."""
    store, figures = type_store(), {}
    with Bag(bag) as opened:
        for _, _, raw in opened.messages(('/diagnostics',)):
            message = store.deserialize_cdr(raw, 'diagnostic_msgs/msg/DiagnosticArray')
            figures = {value.key: value.value for value in message.status[0].values}
    return figures


def measure(outcome: Outcome) -> dict:
    """The figures of the table, from what was published, received and reported."""
    rgb, thermal = outcome.published['rgb'], outcome.published['thermal']
    stamps = sorted(thermal)
    latencies = []
    for stamp, arrival in outcome.received.items():
        if stamp not in rgb:
            continue  # a bag without stamps: the node stamped the frame with its arrival
        at = bisect_left(stamps, stamp)
        partner = min(stamps[max(0, at - 1) : at + 1], key=lambda s: abs(s - stamp))
        latencies.append((arrival - max(rgb[stamp], thermal[partner])) * 1e-6)
    sent = [*rgb.values(), *thermal.values()]
    inside = [u for u in outcome.usage if min(sent) <= u[0] <= max(sent)]
    reported = outcome.diagnostics
    figures = {
        'rgb published': len(rgb),
        'thermal published': len(thermal),
        'seconds': round((max(sent) - min(sent)) * 1e-9, 2),
        'pairs in': int(reported.get('pairs', 0)),
        'fused out': len(outcome.received),
        'replaced by newer': int(reported.get('replaced by newer', 0)),
        'refused': reported.get('refused', '0'),
        'latency ms': percentiles(latencies),
        'latency inside the node ms': {
            'median': float(reported.get('latency p50 (ms)', 'nan')),
            'p99': float(reported.get('latency p99 (ms)', 'nan')),
        },
        'model': f'{reported.get("model")} on {reported.get("provider")}',
        'machine': f'{platform.machine()}, {cpu_name()}',
    }
    if 'detected images' in reported:
        figures |= {
            name: float(reported[name])
            for name in ('detected images', 'detections', 'detections skipped', 'detector ms')
        }
    figures['dropped'] = figures['pairs in'] - figures['fused out']
    figures['unpaired'] = min(len(rgb), len(thermal)) - figures['pairs in']
    if len(inside) > 1:
        span = (inside[-1][0] - inside[0][0]) * 1e-9
        figures['CPU % of one core'] = round(100 * (inside[-1][1] - inside[0][1]) / span, 1)
        figures['memory MB'] = round(max(u[2] for u in inside) / 1e6, 1)
    return figures


def table(f: dict) -> str:
    latency, node = f['latency ms'], f['latency inside the node ms']
    rows = [
        (
            'played',
            f'{f["rgb published"]} RGB and {f["thermal published"]} thermal images in '
            f'{f["seconds"]} s',
        ),
        ('pairs in', f['pairs in']),
        ('fused out', f['fused out']),
        ('unpaired', f'{f["unpaired"]} of the slower stream (lost on the way, or no partner)'),
        ('dropped', f'{f["dropped"]} (replaced {f["replaced by newer"]}, refused {f["refused"]})'),
        ('latency', '{median:.1f} ms median, {p95:.1f} p95, {p99:.1f} p99 '.format(**latency)
         + '(later image sent -> fused image received)'),
        ('  in the node', '{median:.1f} ms median, {p99:.1f} p99 '.format(**node)
         + '(later image arrived -> published)'),
        ('CPU', f'{f.get("CPU % of one core", "?")} % of one core'),
        ('memory', f'{f.get("memory MB", "?")} MB'),
        ('model', f['model']),
        ('machine', f['machine']),
    ]  # fmt: skip
    if 'detected images' in f:
        found = (
            f'{f["detections"]:.0f} on {f["detected images"]:.0f} images, '
            f'{f["detections skipped"]:.0f} images skipped, {f["detector ms"]:.1f} ms the last one'
        )
        rows.insert(-2, ('detections', found))
    return '\n'.join(f'{name:14} {value}' for name, value in rows)


def fused_images(bag: Path, topic: str):
    """(stamp, uint8 image) of the recorded fused stream."""
    store = type_store()
    with Bag(bag) as opened:
        for _, _, raw in opened.messages((topic,)):
            message = store.deserialize_cdr(raw, 'sensor_msgs/msg/Image')
            yield header_stamp(raw), messages.to_visible(message)


def write_video(path: Path, bag: Path, topic: str, rate: float) -> None:
    sink = None
    with whole_file(path) as temporary:
        for _, fused in fused_images(bag, topic):
            sink = sink or VideoSink(temporary, rate, fused.shape[:2])
            sink.write(fused)
        sink.close()


def write_sheet(path: Path, bag: Path, topic: str, source, outcome: Outcome) -> None:
    """Rows of RGB | thermal | fused at moments spread over the run."""
    stamps = sorted(outcome.received)
    chosen = {stamps[round(i)] for i in np.linspace(0, len(stamps) - 1, _PICTURES)}
    fused = {stamp: image for stamp, image in fused_images(bag, topic) if stamp in chosen}
    rows = [[None, None, fused[stamp]] for stamp in sorted(chosen)]
    wanted = {}  # (stream, time in the source) -> row
    for row, stamp in enumerate(sorted(chosen)):
        for stream, stamps in outcome.published.items():
            nearest = min(stamps, key=lambda s: abs(s - stamp))
            wanted[stream, outcome.times[stream, nearest]] = row
    for item in source:
        row = wanted.get((item.stream, item.time))
        if row is not None:
            try:
                pixels = item.load()
            except UserError:  # told by the node
                continue
            if pixels.dtype == np.uint16:
                pixels = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
            rows[row][item.stream == 'thermal'] = pixels
    shape = rows[0][2].shape[:2]
    black = np.zeros((*shape, 3), np.uint8)
    cells = [
        [black if image is None else letterbox(colour(image), shape) for image in row]
        for row in rows
    ]
    write_image(path, np.vstack([side_by_side(row) for row in cells]))


def write_timeline(path: Path, bag: Path, topic: str, source, outcome: Outcome) -> None:
    """What was played and what came back, by stamps. Raises UserError without rerun-sdk."""
    timeline = Timeline(path)
    stamps = {(stream, time_): stamp for (stream, stamp), time_ in outcome.times.items()}
    for item in source:
        stamp = stamps.get((item.stream, item.time))
        if stamp is not None:
            try:
                timeline.image(item.stream, stamp, item.load())
            except UserError as error:
                timeline.event(stamp, f'{item.stream}: {error}')
    for stamp, fused in fused_images(bag, topic):
        timeline.image('fused', stamp, fused)
    thermal = np.array(sorted(outcome.published['thermal']))
    for stamp in sorted(outcome.published['rgb']):
        gap = int((thermal - stamp)[np.abs(thermal - stamp).argmin()])
        if stamp in outcome.received:
            timeline.gap(stamp, gap)
        elif abs(gap) < 1e9 / source.rate / 2:
            timeline.event(stamp, 'a pair that was played gave no fused image')
    for stamp, found in recorded_boxes(bag):
        timeline.boxes(stamp, found)
    timeline.close()


def recorded_boxes(bag: Path) -> Iterator[tuple[int, list[Detection]]]:
    """(stamp, detections) of those that were recorded as JSON."""
    store = type_store()
    topic = '/fused/detections_json'
    with Bag(bag) as opened:
        for _, _, raw in opened.messages((topic,)):
            content = json.loads(store.deserialize_cdr(raw, 'std_msgs/msg/String').data)
            found = []
            for one in content['detections']:
                (x, y), (w, h) = one['center'], one['size']
                corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                found.append(Detection(one['class_id'], one['score'], *corners))
            seconds, nanoseconds = content['stamp']
            yield seconds * 10**9 + nanoseconds, found


def colour(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
