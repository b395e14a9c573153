/* What the kernels in floats share: vectors in memory, and the taps of a last layer. */
#ifndef MULTIMODAL_FUSION_FLOATS_H
#define MULTIMODAL_FUSION_FLOATS_H

#include "rows.h"

#define LOAD(p) (*(const v8u *)(p))
#define STORE(p, v) (*(v8u *)(p) = (v))

/* Three rows of sums, `step` apart: of each column of a 3x3 layer to one channel. rows: of the hidden
 * layer above, at and below, its channels `step` apart too. Each column of taps is summed where its
 * values lie, in whole vectors; who adds the sums shifts them. */
INLINE void column_sums(const float *const rows[3], const float taps[][3][3], int channels, int step,
                        int count, float *sums) {
    for (int x = 0; x < count; x += 2 * LANES) {
        v8 sum[3][2];
        for (int j = 0; j < 3; j++) sum[j][0] = sum[j][1] = (v8){0};
        ROLLED for (int i = 0; i < 3; i++)
            for (int c = 0; c < channels; c++) {
                const float *values = rows[i] + c * step + x;
                v8 near = LOAD(values), far = LOAD(values + LANES);
                for (int j = 0; j < 3; j++) {
                    v8 weight = SPREAD(taps[c][i][j]);
                    sum[j][0] += near * weight, sum[j][1] += far * weight;
                }
            }
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++) STORE(sums + j * step + x + k * LANES, sum[j][k]);
    }
}

#endif
