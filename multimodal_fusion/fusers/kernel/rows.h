/* What both kernels need: images, the reflection at their edges, colour, and vectors of floats. */
#ifndef MULTIMODAL_FUSION_ROWS_H
#define MULTIMODAL_FUSION_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TILE 640
#define LANES 8
/* Of a row in flight: room for reflected columns and for those computed beyond the tile, to whole
 * vectors, and thrown away; a multiple of a cache line. */
#define STRIDE (TILE + 48)

typedef float v8 __attribute__((vector_size(32)));
typedef float v8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef uint8_t b8 __attribute__((vector_size(8), aligned(1), may_alias));

/* A loop of GCC that stays a loop: unrolled further, sums spill to the stack. */
#define ROLLED _Pragma("GCC unroll 1")

#define INLINE static inline __attribute__((always_inline))
#define SPREAD(x) ((v8){(x), (x), (x), (x), (x), (x), (x), (x)})

typedef struct {
    const uint8_t *visible, *thermal;
    int64_t visible_step, thermal_step; /* bytes from row to row */
    int height, width, channels;
    uint8_t *out;
    int64_t out_step;
} Images;

INLINE int reflect(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

INLINE v8 larger(v8 a, v8 b) {
    i8 mask = a > b;
    return (v8)(((i8)a & mask) | ((i8)b & ~mask));
}

INLINE v8 smaller(v8 a, v8 b) {
    i8 mask = a < b;
    return (v8)(((i8)a & mask) | ((i8)b & ~mask));
}

/* BT.601 as OpenCV computes it: 15-bit weights, rounded. */
INLINE void luma_row(const uint8_t *restrict bgr, uint8_t *restrict grey, size_t n) {
    for (size_t x = 0; x < n; x++)
        grey[x] = (bgr[3 * x] * 3735 + bgr[3 * x + 1] * 19235 + bgr[3 * x + 2] * 9798 + 16384) >> 15;
}

/* tanh by its continued fraction, [7/6]: within 5e-5 where it matters, x from 0 on. */
INLINE v8 tanh8(v8 x) {
    x = smaller(larger(x, (v8){0}), SPREAD(4.97f));
    v8 q = x * x;
    v8 top = x * (135135.f + q * (17325.f + q * (378.f + q)));
    return top / (135135.f + q * (62370.f + q * (3150.f + q * 28.f)));
}

/* Clip, round half to even as ONNX does, and keep 8 bits. */
INLINE void grey8(v8 sum, int tanh, uint8_t *to) {
    if (tanh) sum = tanh8(sum) * 255.f;
    sum = smaller(larger(sum, (v8){0}), SPREAD(255.f)) + 12582912.f;
    *(b8 *)to = __builtin_convertvector((i8)sum & 255, b8);
}

/* Add the change of luma to the three channels and clip. */
INLINE void colour_row(const uint8_t *restrict bgr, const uint8_t *restrict fused,
                       uint8_t *restrict out, size_t n) {
    int16_t change[3 * TILE];
    uint8_t grey[TILE];
    luma_row(bgr, grey, n);
    for (size_t x = 0; x < n; x++) {
        int16_t d = (int16_t)(fused[x] - grey[x]);
        change[3 * x] = change[3 * x + 1] = change[3 * x + 2] = d;
    }
    for (size_t i = 0; i < 3 * n; i++) {
        int16_t sum = (int16_t)(bgr[i] + change[i]);
        sum = sum < 0 ? 0 : sum;
        out[i] = (uint8_t)(sum > 255 ? 255 : sum);
    }
}

/* Row y of the fused image, columns from left on. */
INLINE void grey_out(const Images *im, const uint8_t *fused, int y, int left, int count) {
    memcpy(im->out + y * im->out_step + left, fused, count);
}

#endif
