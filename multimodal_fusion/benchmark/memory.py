"""Peak memory of one fuser in a process that does nothing else.

python -m multimodal_fusion.benchmark.memory N < plan.json      the N-th of `fusers.ways`
"""

import json
import resource
import sys
from pathlib import Path

from .fusers import BenchPlan, images, ways


def peaks(plan: BenchPlan, number: int) -> list[float]:
    """Peak resident MB for each size and input of the plan, whole process, in their order."""
    fuser = ways(plan)[number].load()
    found = []
    for size in plan.sizes:
        for kind in plan.inputs:
            pairs = images(size, kind)
            _forget_peak()
            for pair in pairs:
                fuser.fuse(*pair)
            found.append(round(_peak_megabytes(), 1))
    return found


def _forget_peak() -> None:
    """Start the peak anew, so that a small image after a large one shows its own."""
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:  # not Linux, or forbidden: sizes should then be given in ascending order
        return


def _peak_megabytes() -> float:
    status = Path('/proc/self/status')
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    print(json.dumps(peaks(BenchPlan(**json.load(sys.stdin)), int(sys.argv[1]))))
