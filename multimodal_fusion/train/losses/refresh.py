"""Dynamic refresh (equations 6 to 12): a patch's best outputs so far teach the present one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.pairs import eight_bit
from ..data.store import RewindingStore
from . import quality

DECISIONS = ('patch', 'batch')


@dataclass(frozen=True)
class Lessons:
    """What the memory teaches a batch of N. gap_*: float (N,), 0 where the present is as good.

    ssim, gmsd: remembered outputs, float (N, 1, H, W) in [0, 1]; they carry no gradient.
    """

    gap_ssim: Tensor
    gap_gmsd: Tensor
    ssim: Tensor
    gmsd: Tensor

    def statistics(self) -> dict[str, float]:
        """How often memory wins, and by how much where it does."""
        found = {}
        for name, gap in (('ssim', self.gap_ssim), ('gmsd', self.gap_gmsd)):
            wins = gap > 0
            found[f'wins_{name}'] = wins.float().mean().item()
            found[f'gap_{name}'] = gap[wins].mean().item() if wins.any() else 0.0
        return found


class Memory:
    """Two remembered outputs per patch: the best by SSIM and the best (lowest) by GMSD.

    A record is two scores and two 8-bit images, 2 * side² + 9 bytes: 32 KB at 128 pixels. Patches
    that changed since the last checkpoint are kept twice until the next one.
    """

    def __init__(self, path: Path, count: int, side: int, decide: str = 'patch'):
        if decide not in DECISIONS:
            raise ValueError(f'decide must be one of {", ".join(DECISIONS)}, got {decide!r}')
        image = ('u1', (side, side))
        record = [('seen', '?'), ('s', '<f4'), ('g', '<f4'), ('ssim', *image), ('gmsd', *image)]
        self.store = RewindingStore(path, count, np.dtype(record))
        self.decide = decide

    @torch.no_grad()
    def review(self, keys: np.ndarray, fused: Tensor, thermal: Tensor, visible: Tensor) -> Lessons:
        """Compare the present outputs of these patches with the remembered ones.

        What is better by now, or new, is remembered. keys: int (N,), each patch once.
        fused, thermal, visible: float (N, 1, H, W), the sources in [0, 1].
        """
        pixels = eight_bit(fused)
        present = pixels.float() / 255
        now_s = (quality.ssim(present, thermal) + quality.ssim(present, visible)).cpu().numpy()
        now_g = (quality.gmsd(present, thermal) + quality.gmsd(present, visible)).cpu().numpy()
        pixels = pixels[:, 0].cpu().numpy()
        records = self.store[keys]
        new = ~records['seen']
        gap_s = np.where(new, -1, self._decide(records['s'] - now_s, new))
        gap_g = np.where(new, -1, self._decide(now_g - records['g'], new))
        taught = [np.where(new[:, None, None], pixels, records[name]) for name in ('ssim', 'gmsd')]
        better_s, better_g = gap_s < 0, gap_g < 0
        records['s'][better_s], records['ssim'][better_s] = now_s[better_s], pixels[better_s]
        records['g'][better_g], records['gmsd'][better_g] = now_g[better_g], pixels[better_g]
        records['seen'] = True
        changed = better_s | better_g
        self.store[keys[changed]] = records[changed]
        device = fused.device
        gaps = [torch.from_numpy(np.maximum(gap, 0)).float().to(device) for gap in (gap_s, gap_g)]
        images = [
            torch.from_numpy(image[:, None].copy()).to(device).float() / 255 for image in taught
        ]
        return Lessons(*gaps, *images)

    def _decide(self, gap: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Memory's lead over the present; by 'batch', all that were seen share the mean."""
        if self.decide == 'batch' and not new.all():
            return np.full_like(gap, gap[~new].mean())
        return gap
