"""The 64x64 images that the golden values of the metrics are of."""

import numpy as np

ROW, COLUMN = np.mgrid[:64, :64]
A = ((3 * ROW + 5 * COLUMN) % 256).astype(np.uint8)
B = ((7 * ROW * COLUMN + 11) % 256).astype(np.uint8)
FUSED = {
    'average': ((A.astype(int) + B) // 2).astype(np.uint8),
    'thermal': A,
    'max': np.maximum(A, B),
}
