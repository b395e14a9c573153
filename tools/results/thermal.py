"""How raw counts of many cameras look by each range, and how still a clip stays.

python -m tools.results.thermal --data DATA/raw16 --out docs/results
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.evaluate.sheet import SheetRow, contact_sheet
from multimodal_fusion.io.image_files import read_thermal
from multimodal_fusion.pipeline.preparation import Preparation
from multimodal_fusion.pipeline.thermal import ThermalRange, ThermalSettings

RANGES = ('minmax', 'percentile', 'plateau')
SHOWN = (
    't650sc_0798', 'chess_5003_029', 'flirpy_tau_radiometric', 'lepton_0010', 'dji_m3t_0001',
    'wm02_thermacam_sc640',
)  # fmt: skip
RATE = 9.0  # Hz, of the Lepton


def still(frame: np.ndarray, name: str) -> np.ndarray:
    return Preparation(ThermalSettings(range=name)).still(frame, frame.shape)


def clip(frames: list[np.ndarray], name: str) -> tuple[float, float]:
    """(mean change of a pixel from frame to frame that its counts do not explain, grey levels;
    milliseconds a frame)."""
    settings = ThermalSettings(range=name)
    follow, prepared, pictures = ThermalRange(settings), Preparation(settings), []
    start = time.process_time()
    for number, frame in enumerate(frames):
        limits = follow.update(frame, round(number / RATE * 1e9))
        pictures.append(prepared.white_hot(frame, limits, frame.shape).astype(float))
    seconds = time.process_time() - start
    # The brightness of the whole picture: what moves in the scene moves little of it.
    levels = [np.median(picture) for picture in pictures]
    return float(np.abs(np.diff(levels)).mean()), 1000 * seconds / len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--out', type=Path, default=Path('docs/results'))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    frames = {name: read_thermal(args.data / f'train/{name}.png') for name in SHOWN}
    rows = [SheetRow(name, None) for name in SHOWN]
    drawn = contact_sheet(rows, list(RANGES), lambda stem, name: still(frames[stem], name))
    path = args.out / 'thermal.jpg'
    path.write_bytes(cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
    lepton = [read_thermal(p) for p in sorted((args.data / 'train').glob('lepton_*.png'))]
    tau = [frames['flirpy_tau_radiometric']] * 20
    print('| range | Lepton clip: change of the median a frame | ms a frame, 640x512 |')
    print('|---|---:|---:|')
    for name in RANGES:
        print(f'| {name} | {clip(lepton, name)[0]:.2f} | {clip(tau, name)[1]:.1f} |')


if __name__ == '__main__':
    main()
