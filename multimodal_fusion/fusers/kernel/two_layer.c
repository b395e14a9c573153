/* The 113-parameter network in one pass over 8-bit images: compiled.py calls it.
 *
 *     h     = relu(conv1([thermal, visible]))    2 -> 4 channels, 3x3, reflect-padded
 *     fused = output(conv2(h))                   4 -> 1 channel,  3x3, h reflect-padded
 *
 * Plain C with GCC's vector extensions, which clang has too: AVX2 and FMA where the processor has
 * them, SSE2 or NEON elsewhere. No Python headers, no state, no allocation:
 * the few rows that are in flight lie on the stack, so any number of threads may call it.
 *
 * A band of rows is cut into tiles of at most TILE columns. In a tile, rows of both inputs become
 * float once, and the last rows of the hidden layer stay in the cache. Rows are found by their number
 * modulo four, so that reflected rows are simply looked up.
 */
#include "floats.h"
#include "team.h"

/* Weights as the kernel wants them: inputs are 0..255, outputs too. */
typedef struct {
    float first[3][3][2][4]; /* row, column, input (thermal, visible), hidden channel */
    float bias[4];
    float second[4][3][3]; /* hidden channel, row, column */
    float last_bias;
    int32_t tanh;
} Network;

typedef struct {
    int row[4];                                    /* the image row that lies in each place */
    float pixels[4][2][STRIDE] __attribute__((aligned(64)));
} Inputs;

typedef struct {
    int row[4];
    float values[4][4][STRIDE] __attribute__((aligned(64)));
} Hidden;

INLINE void float_row(const uint8_t *restrict from, float *restrict to, size_t n) {
    for (size_t x = 0; x < n; x++) to[x] = from[x];
}

/* Input row `row` of the tile: columns left - 2 .. right + 1, reflected at the image's edges. */
INLINE int input_row(Inputs *in, const Images *im, int row, int left, int right) {
    int place = row & 3;
    if (in->row[place] == row) return place;
    in->row[place] = row;
    int from = left > 2 ? left - 2 : 0, to = right + 2 < im->width ? right + 2 : im->width;
    float *thermal = in->pixels[place][0], *visible = in->pixels[place][1];
    const uint8_t *grey = im->visible + row * im->visible_step + (int64_t)from * im->channels;
    uint8_t luma[TILE + 4];
    if (im->channels == 3) {
        luma_row(grey, luma, to - from);
        grey = luma;
    }
    float_row(im->thermal + row * im->thermal_step + from, thermal + from - left + 2, to - from);
    float_row(grey, visible + from - left + 2, to - from);
    if (left == 0) thermal[1] = thermal[3], visible[1] = visible[3];
    if (right == im->width) {
        int end = right - left + 2;
        thermal[end] = thermal[end - 2], visible[end] = visible[end - 2];
    }
    return place;
}

/* Hidden row `row` of the tile: columns left - 1 .. right, reflected by its own values. */
INLINE int hidden_row(Hidden *hidden, Inputs *in, const Images *im, const Network *net, int row,
                      int left, int right) {
    int place = row & 3, count = right - left + 2;
    if (hidden->row[place] == row) return place;
    hidden->row[place] = row;
    const float *rows[3][2];
    for (int i = 0; i < 3; i++) {
        int at = input_row(in, im, reflect(row - 1 + i, im->height), left, right);
        rows[i][0] = in->pixels[at][0], rows[i][1] = in->pixels[at][1];
    }
    for (int x = 0; x < count; x += 2 * LANES) { /* all four channels in registers */
        v8 sum[4][2];
        for (int c = 0; c < 4; c++) sum[c][0] = sum[c][1] = SPREAD(net->bias[c]);
        ROLLED for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                for (int s = 0; s < 2; s++) {
                    v8 near = LOAD(rows[i][s] + x + j), far = LOAD(rows[i][s] + x + j + LANES);
                    for (int c = 0; c < 4; c++) {
                        v8 weight = SPREAD(net->first[i][j][s][c]);
                        sum[c][0] += near * weight, sum[c][1] += far * weight;
                    }
                }
        for (int c = 0; c < 4; c++)
            for (int k = 0; k < 2; k++)
                STORE(hidden->values[place][c] + x + k * LANES, larger(sum[c][k], (v8){0}));
    }
    for (int c = 0; c < 4; c++) {
        float *values = hidden->values[place][c];
        if (left == 0) values[0] = values[2];
        if (right == im->width) values[count - 1] = values[count - 3];
    }
    return place;
}

/* Output row from three of the hidden layer, count columns. */
INLINE void output_row(const Hidden *hidden, const int places[3], const Network *net, int count,
                       int tanh, uint8_t fused[STRIDE]) {
    float sums[3][STRIDE] __attribute__((aligned(64)));
    const float *rows[3];
    for (int i = 0; i < 3; i++) rows[i] = hidden->values[places[i]][0];
    column_sums(rows, net->second, 4, STRIDE, count + 2, sums[0]);
    for (int x = 0; x < count; x += LANES)
        grey8(LOAD(sums[0] + x) + LOAD(sums[1] + x + 1) + LOAD(sums[2] + x + 2) + net->last_bias,
              tanh, fused + x);
}

INLINE void band(const Network *net, const Images *im, int top, int bottom) {
    Inputs in;
    Hidden hidden;
    uint8_t fused[STRIDE];
    memset(&in, 0, sizeof in); /* columns beyond the tile are computed with, then dropped */
    memset(&hidden, 0, sizeof hidden);
    int width = im->width, height = im->height;
    int tiles = (width + TILE - 1) / TILE;
    for (int t = 0; t < tiles; t++) {
        int left = (int)((int64_t)width * t / tiles);
        int right = (int)((int64_t)width * (t + 1) / tiles);
        for (int i = 0; i < 4; i++) in.row[i] = hidden.row[i] = -1;
        for (int y = top; y < bottom; y++) {
            int places[3];
            for (int i = 0; i < 3; i++)
                places[i] = hidden_row(&hidden, &in, im, net, reflect(y - 1 + i, height), left,
                                       right);
            if (net->tanh)
                output_row(&hidden, places, net, right - left, 1, fused);
            else
                output_row(&hidden, places, net, right - left, 0, fused);
            if (im->channels == 1)
                grey_out(im, fused, y, left, right - left);
            else
                colour_row(im->visible + y * im->visible_step + 3 * (int64_t)left, fused,
                           im->out + y * im->out_step + 3 * (int64_t)left, right - left);
        }
    }
}

/* With target_clones GCC 12 makes a slow version for AVX2; a function of its own, into which all else
 * is inlined, is fast. */
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void band_avx2(const void *net, const Images *im,
                                                          int top, int bottom) {
    band(net, im, top, bottom);
}
#endif

static void band_plain(const void *net, const Images *im, int top, int bottom) {
    band(net, im, top, bottom);
}

int has_wide_vectors(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

/* The fused image. wide: what has_wide_vectors() said. Height and width at least 2; steps are bytes
 * from one row to the next. visible: width x channels bytes a row, grey (1) or BGR (3); out: of that
 * shape. threads: the caller and helpers of its team. A changed signature needs a new name, or a
 * library that was built before is called wrongly. */
void fuse_in_floats(const Network *net, int wide, const uint8_t *visible, int64_t visible_step,
                    const uint8_t *thermal, int64_t thermal_step, uint8_t *out, int64_t out_step,
                    int height, int width, int channels, Team *team, int threads) {
    Images im = {visible, thermal, visible_step, thermal_step, height, width, channels, out,
                 out_step};
    Band make = band_plain;
#if defined(__x86_64__)
    if (wide) make = band_avx2;
#endif
    make_rows(team, threads, make, net, &im);
}
