"""Parameters, operations and time of the text prior's networks and text encoder (table VII).

    python -m tools.results.textprior_cost --out runs/cost

Model files of untrained networks, 128x128, batch 1, ONNX Runtime on the CPU; medians of calls in
turns. Exporting the large ones takes minutes; it is done once.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch.utils.flop_counter import FlopCounterMode

from multimodal_fusion.host.machine import cpu_name
from multimodal_fusion.networks.textprior import TextPrior
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.export.onnx import export

SIDE, CALLS = 128, 9
ROWS = {
    "teacher, the paper's (width 48)": ('textprior-teacher', 256),
    "student, the paper's (width 16)": ('textprior-student', 0),
    'teacher for a CPU (width 16)': ('textprior-teacher-cpu', 256),
    'student for a CPU (width 8)': ('textprior-student-cpu', 0),
}


def made(recipe: str, texts: int) -> TextPrior:
    s = Config.load(Path(f'config/train/{recipe}.yaml')).section
    return TextPrior(s.width, s.expansion, s.blocks, s.refinement, texts, s.fusion).eval()


def operations(network: TextPrior) -> int:
    """Multiplications and additions of a call."""
    text = torch.zeros(1, network.texts) if network.texts else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE), text)
    return counter.get_total_flops()


def session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def feed(model: ort.InferenceSession) -> dict[str, np.ndarray]:
    random, found = np.random.default_rng(0), {}
    for port in model.get_inputs():
        if port.name == 'text':
            found['text'] = np.zeros(port.shape, np.float32)
        else:
            found[port.name] = random.integers(0, 256, (1, SIDE, SIDE, port.shape[3]), np.uint8)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='of the model files')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    calls, facts = {}, {}
    for name, (recipe, texts) in ROWS.items():
        network, path = made(recipe, texts), args.out / f'{recipe}.onnx'
        facts[name] = sum(p.numel() for p in network.parameters()), operations(network)
        if not path.exists():
            export(network, path, {})
        for threads in (1, 2):
            model = session(path, threads)
            calls[name, threads] = partial(model.run, None, feed(model))
    from wordllama import WordLlama
    from wordllama import __file__ as package

    words = WordLlama.load(cache_dir=Path(package).parent, disable_download=True)
    name = 'text encoder (wordllama, 256 numbers)'
    facts[name] = words.embedding.size, 0
    calls[name, 1] = lambda: words.embed(['low light in the visible image'])
    times: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for turn in range(CALLS + 1):
        for key, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[key].append((time.perf_counter() - start) * 1e3)
    print(f'{cpu_name()}, {SIDE}x{SIDE}, medians of {CALLS} calls in turns [quartiles].\n')
    print('| | parameters | GFLOP | 1 thread, ms | 2 threads, ms |\n|---|---|---|---|---|')
    for name, (count, flops) in facts.items():
        cells = []
        for threads in (1, 2):
            low, middle, high = np.percentile(times.get((name, threads), [np.nan]), (25, 50, 75))
            cells.append('' if np.isnan(middle) else f'{middle:.1f} [{low:.1f}, {high:.1f}]')
        print(f'| {name} | {count / 1e6:.2f}M | {flops / 1e9:.2f} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
