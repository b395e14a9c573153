/* MMDRFuse's layers on a Laplacian pyramid, networks/pyramid.py, in floats: pyramid.py calls it.
 *
 *     the coarsest images: two_layer's network, in plain loops (a few thousand pixels)
 *     then for each level, coarse to fine, in one pass:
 *     u = up(fused coarser), d = image - up(coarser), r = image - u
 *     h = relu(detail1(d) + local(r)),  fused = u + detail2(h)
 *
 * Vectors and colour as in rows.h. Images of the levels lie in a workspace of the caller; the few
 * rows of a tile that are in flight lie on the stack. Padding repeats the edge.
 */
#include "floats.h"
#include "team.h"

#define CHANNELS 8
#define MOST_LEVELS 4
#define PART 318 /* columns of a tile, even: rows in flight stay in the second cache */
#define WIDE (PART + 34)

/* Weights for images of 0..255. */
typedef struct {
    float detail[3][3][2][CHANNELS]; /* row, column, input (thermal, visible), hidden channel */
    float local[2][CHANNELS];
    float bias[CHANNELS];
    float second[CHANNELS][3][3]; /* hidden channel, row, column; halves, see twice_relu */
    float last_bias;
    float base_first[4][2][3][3]; /* hidden channel, input, row, column */
    float base_bias[4];
    float base_second[4][3][3];
    float base_last_bias;
    int32_t levels;
} Pyramid;

typedef struct {
    int height, width;
    float *thermal, *visible, *fused; /* of level 0, none: bytes */
} Level;

/* What a band of rows is made from: level `at` and all others. */
typedef struct {
    const Pyramid *net;
    const Level *levels;
    const uint8_t *luma; /* of level 0 */
    int64_t luma_step;
    int at;
} Stage;

INLINE int clamped(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* ---- from bytes to the coarser images ---- */

INLINE void luma_band(const Stage *s, const Images *im, int top, int bottom) {
    for (int y = top; y < bottom; y++)
        luma_row(im->visible + y * im->visible_step, (uint8_t *)s->luma + y * s->luma_step,
                 im->width);
}

/* Columns of row sums to every second one: v has two more at either end than `width`. */
#define HALVE(name, type, scale)                                                             \
    INLINE void name(const type *restrict v, float *restrict to, int count) {                \
        for (int x = 0; x < count; x++)                                                      \
            to[x] = (float)(type)(v[2 * x] + v[2 * x + 4] + 4 * (v[2 * x + 1] + v[2 * x + 3]) + \
                                  6 * v[2 * x + 2]) * (scale);                               \
    }
HALVE(halve_words, uint16_t, 1.f / 256)
HALVE(halve_floats, float, 1.f / 256)

#define SUM_ROWS(name, from, type)                                                           \
    INLINE void name(const from *restrict a, const from *restrict b, const from *restrict c, \
                     const from *restrict d, const from *restrict e, type *restrict to, int n) { \
        for (int x = 0; x < n; x++)                                                          \
            to[x] = (type)(a[x] + e[x] + 4 * (b[x] + d[x]) + 6 * c[x]);                      \
    }
SUM_ROWS(sum_bytes, uint8_t, uint16_t)
SUM_ROWS(sum_floats, float, float)

#define STRIP 1024 /* columns at a time: of the finer image */

/* Rows top .. bottom - 1 of a coarser image from bytes, or from floats. */
#define DOWN(name, from, type, sum, halve)                                                   \
    INLINE void name(const from *image, int64_t step, int height, int width, float *coarse,  \
                     int top, int bottom) {                                                  \
        type sums[STRIP + 64];                                                               \
        int half = (width + 1) / 2;                                                          \
        for (int y = top; y < bottom; y++) {                                                 \
            const from *row[5];                                                              \
            for (int i = 0; i < 5; i++) row[i] = image + clamped(2 * y - 2 + i, height) * step; \
            for (int left = 0; left < half; left += STRIP / 2) {                             \
                int right = left + STRIP / 2 < half ? left + STRIP / 2 : half;               \
                int begin = 2 * left - 2, end = 2 * right + 1; /* sums[0] is of begin */     \
                int from_ = begin < 0 ? 0 : begin, to = end > width ? width : end;           \
                sum(row[0] + from_, row[1] + from_, row[2] + from_, row[3] + from_,          \
                    row[4] + from_, sums + from_ - begin, to - from_);                       \
                for (int x = begin; x < from_; x++) sums[x - begin] = sums[from_ - begin];   \
                for (int x = to; x < end; x++) sums[x - begin] = sums[to - 1 - begin];       \
                halve(sums, coarse + (int64_t)y * half + left, right - left);                \
            }                                                                                \
        }                                                                                    \
    }
DOWN(down_bytes, uint8_t, uint16_t, sum_bytes, halve_words)
DOWN(down_floats, float, float, sum_floats, halve_floats)

INLINE void down_band(const Stage *s, const Images *im, int top, int bottom) {
    const Level *fine = s->levels + s->at - 1, *to = s->levels + s->at;
    if (s->at == 1) {
        down_bytes(im->thermal, im->thermal_step, fine->height, fine->width, to->thermal, top,
                   bottom);
        down_bytes(s->luma, s->luma_step, fine->height, fine->width, to->visible, top, bottom);
    } else {
        down_floats(fine->thermal, fine->width, fine->height, fine->width, to->thermal, top, bottom);
        down_floats(fine->visible, fine->width, fine->height, fine->width, to->visible, top, bottom);
    }
}

/* ---- the coarsest image ---- */

/* The border of a plane of (height + 2) x (width + 2) from what lies one pixel inside of it. */
static void reflect_border(float *plane, int height, int width) {
    int64_t step = width + 2;
    for (int y = 1; y <= height; y++) {
        float *row = plane + y * step;
        row[0] = row[2], row[width + 1] = row[width - 1];
    }
    memcpy(plane, plane + 2 * step, step * sizeof *plane);
    memcpy(plane + (height + 1) * step, plane + (height - 1) * step, step * sizeof *plane);
}

/* to += 3x3 taps of a bordered plane around row y. */
INLINE void add_taps(float *restrict to, const float *plane, const float taps[3][3], int y,
                     int width) {
    const float *row = plane + (int64_t)y * (width + 2);
    for (int i = 0; i < 3; i++, row += width + 2)
        for (int x = 0; x < width; x++)
            to[x] += taps[i][0] * row[x] + taps[i][1] * row[x + 1] + taps[i][2] * row[x + 2];
}

/* planes: of 6 (height + 2) (width + 2). */
static void base(const Pyramid *net, const Level *l, float *planes) {
    int height = l->height, width = l->width;
    int64_t step = width + 2, size = (height + 2) * step;
    float *sources = planes, *hidden = planes + 2 * size;
    const float *images[2] = {l->thermal, l->visible};
    for (int s = 0; s < 2; s++) {
        for (int y = 0; y < height; y++)
            memcpy(sources + s * size + (y + 1) * step + 1, images[s] + (int64_t)y * width,
                   width * sizeof *sources);
        reflect_border(sources + s * size, height, width);
    }
    for (int c = 0; c < 4; c++) {
        for (int y = 0; y < height; y++) {
            float *row = hidden + c * size + (y + 1) * step + 1;
            for (int x = 0; x < width; x++) row[x] = net->base_bias[c];
            for (int s = 0; s < 2; s++)
                add_taps(row, sources + s * size, net->base_first[c][s], y, width);
            for (int x = 0; x < width; x++) row[x] = row[x] > 0 ? row[x] : 0;
        }
        reflect_border(hidden + c * size, height, width);
    }
    for (int y = 0; y < height; y++) {
        float *row = l->fused + (int64_t)y * width;
        for (int x = 0; x < width; x++) row[x] = net->base_last_bias;
        for (int c = 0; c < 4; c++)
            add_taps(row, hidden + c * size, net->base_second[c], y, width);
    }
}

/* ---- a level ---- */

enum { THERMAL, VISIBLE };

/* Rows of a tile, found by their number modulo four. Index 0 is column left - 2. */
typedef struct {
    int row[4];
    float detail[4][2][WIDE] __attribute__((aligned(64)));
    float rest[4][2][WIDE] __attribute__((aligned(64)));
    float coarse[4][WIDE] __attribute__((aligned(64)));
} Sources;

/* Index 0 is column left - 1. */
typedef struct {
    int row[4];
    float values[4][CHANNELS][WIDE] __attribute__((aligned(64)));
} Hidden;

/* Row y of `up(coarse)`, columns 2 first .. 2 last + 1, from coarse columns first - 1 .. last + 1. */
INLINE void up_row(const float *coarse, int height, int width, int y, int first, int last,
                   float *restrict to) {
    float sums[WIDE / 2 + 16];
    int i = y / 2, begin = first - 1, end = last + 2;
    int from = begin < 0 ? 0 : begin, stop = end > width ? width : end;
    const float *middle = coarse + (int64_t)clamped(i, height) * width + from;
    const float *below = coarse + (int64_t)clamped(i + 1, height) * width + from;
    float *sum = sums + from - begin;
    if (y & 1)
        for (int x = 0; x < stop - from; x++) sum[x] = 0.5f * (middle[x] + below[x]);
    else {
        const float *above = coarse + (int64_t)clamped(i - 1, height) * width + from;
        for (int x = 0; x < stop - from; x++)
            sum[x] = 0.125f * (above[x] + below[x]) + 0.75f * middle[x];
    }
    for (int x = begin; x < from; x++) sums[x - begin] = sums[from - begin];
    for (int x = stop; x < end; x++) sums[x - begin] = sums[stop - 1 - begin];
    for (int x = 0; x <= last - first; x++) {
        to[2 * x] = 0.125f * (sums[x] + sums[x + 2]) + 0.75f * sums[x + 1];
        to[2 * x + 1] = 0.5f * (sums[x + 1] + sums[x + 2]);
    }
}

/* Fine row y of the tile: columns left - 2 .. right + 1, the edge repeated. left is even. */
INLINE int source_row(Sources *in, const Stage *s, const Images *im, int y, int left, int right) {
    int place = y & 3;
    if (in->row[place] == y) return place;
    in->row[place] = y;
    const Level *fine = s->levels + s->at, *next = fine + 1;
    int width = fine->width, from = left > 2 ? left - 2 : 0;
    int to = right + 2 < width ? right + 2 : width, skip = from - left + 2;
    float *up[3] = {in->detail[place][THERMAL], in->detail[place][VISIBLE], in->coarse[place]};
    const float *planes[3] = {next->thermal, next->visible, next->fused};
    for (int p = 0; p < 3; p++)
        up_row(planes[p], next->height, next->width, y, from / 2, (to - 1) / 2, up[p] + skip);
    for (int p = 0; p < 2; p++) {
        float *detail = in->detail[place][p] + skip, *rest = in->rest[place][p] + skip;
        const float *coarse = in->coarse[place] + skip;
        int n = to - from;
        if (s->at) {
            const float *image = (p ? fine->visible : fine->thermal) + (int64_t)y * width + from;
            for (int x = 0; x < n; x++)
                rest[x] = image[x] - coarse[x], detail[x] = image[x] - detail[x];
        } else {
            const uint8_t *image = p ? s->luma + y * s->luma_step + from
                                     : im->thermal + y * im->thermal_step + from;
            for (int x = 0; x < n; x++)
                rest[x] = image[x] - coarse[x], detail[x] = image[x] - detail[x];
        }
        if (left == 0) in->detail[place][p][1] = in->detail[place][p][2];
        if (right + 1 >= width) detail[n] = detail[n - 1];
    }
    return place;
}

/* x + |x|: one instruction fewer than relu; `second` is half as large for it. */
INLINE v8 twice_relu(v8 x) { return x + (v8)((i8)x & 0x7fffffff); }

/* Hidden row y of the tile: columns left - 1 .. right, the edge repeated. */
INLINE int hidden_row(Hidden *hidden, Sources *in, const Stage *s, const Images *im, int y, int left,
                      int right) {
    int place = y & 3, count = right - left + 2;
    if (hidden->row[place] == y) return place;
    hidden->row[place] = y;
    const Level *fine = s->levels + s->at;
    const Pyramid *net = s->net;
    const float *rows[3][2], *rest[2];
    for (int i = 0; i < 3; i++) {
        int at = source_row(in, s, im, clamped(y - 1 + i, fine->height), left, right);
        rows[i][0] = in->detail[at][0], rows[i][1] = in->detail[at][1];
    }
    for (int p = 0; p < 2; p++) rest[p] = in->rest[y & 3][p] + 1;
    for (int x = 0; x < count; x += 2 * LANES)
        ROLLED for (int group = 0; group < CHANNELS; group += 4) { /* four channels in registers */
            v8 sum[4][2];
            for (int c = 0; c < 4; c++) sum[c][0] = sum[c][1] = SPREAD(net->bias[group + c]);
            for (int p = 0; p < 2; p++) {
                v8 near = LOAD(rest[p] + x), far = LOAD(rest[p] + x + LANES);
                for (int c = 0; c < 4; c++) {
                    v8 weight = SPREAD(net->local[p][group + c]);
                    sum[c][0] += near * weight, sum[c][1] += far * weight;
                }
            }
            ROLLED for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++)
                    for (int p = 0; p < 2; p++) {
                        v8 near = LOAD(rows[i][p] + x + j), far = LOAD(rows[i][p] + x + j + LANES);
                        for (int c = 0; c < 4; c++) {
                            v8 weight = SPREAD(net->detail[i][j][p][group + c]);
                            sum[c][0] += near * weight, sum[c][1] += far * weight;
                        }
                    }
            for (int c = 0; c < 4; c++)
                for (int k = 0; k < 2; k++)
                    STORE(hidden->values[place][group + c] + x + k * LANES, twice_relu(sum[c][k]));
        }
    for (int c = 0; c < CHANNELS; c++) {
        float *values = hidden->values[place][c];
        if (left == 0) values[0] = values[1];
        if (right == fine->width) values[count - 1] = values[count - 2];
    }
    return place;
}

/* Output row from three of the hidden layer, count columns. */
INLINE void output_row(const Hidden *hidden, const int places[3], const Pyramid *net,
                       const float *coarse, int count, float to[WIDE]) {
    float sums[3][WIDE] __attribute__((aligned(64)));
    const float *rows[3];
    for (int i = 0; i < 3; i++) rows[i] = hidden->values[places[i]][0];
    column_sums(rows, net->second, CHANNELS, WIDE, count + 2, sums[0]);
    for (int x = 0; x < count; x += LANES)
        STORE(to + x, LOAD(sums[0] + x) + LOAD(sums[1] + x + 1) + LOAD(sums[2] + x + 2) +
                          LOAD(coarse + x) + net->last_bias);
}

INLINE void level_band(const Stage *s, const Images *im, int top, int bottom) {
    Sources in;
    Hidden hidden;
    float fused[WIDE] __attribute__((aligned(64)));
    uint8_t grey[WIDE];
    memset(&in, 0, sizeof in); /* columns beyond the tile are computed with, then dropped */
    memset(&hidden, 0, sizeof hidden);
    const Level *fine = s->levels + s->at;
    int width = fine->width, height = fine->height;
    int tiles = (width + PART - 1) / PART;
    for (int t = 0; t < tiles; t++) {
        int left = t * PART, right = t + 1 < tiles ? left + PART : width;
        for (int i = 0; i < 4; i++) in.row[i] = hidden.row[i] = -1;
        for (int y = top; y < bottom; y++) {
            int places[3], count = right - left;
            for (int i = 0; i < 3; i++)
                places[i] = hidden_row(&hidden, &in, s, im, clamped(y - 1 + i, height), left, right);
            output_row(&hidden, places, s->net, in.coarse[y & 3] + 2, count, fused);
            if (s->at) {
                memcpy(fine->fused + (int64_t)y * width + left, fused, count * sizeof *fused);
                continue;
            }
            for (int x = 0; x < count; x += LANES) grey8(LOAD(fused + x), 0, grey + x);
            if (im->channels == 1)
                grey_out(im, grey, y, left, count);
            else
                colour_row(im->visible + y * im->visible_step + 3 * (int64_t)left, grey,
                           im->out + y * im->out_step + 3 * (int64_t)left, count);
        }
    }
}

/* Each kind of band for any processor, and for AVX2: see two_layer.c. */
#if defined(__x86_64__)
#define FOR_BOTH(name)                                                                       \
    __attribute__((target("avx2,fma"))) static void name##_avx2(const void *s, const Images *im, \
                                                                int top, int bottom) {       \
        name(s, im, top, bottom);                                                            \
    }                                                                                        \
    static void name##_plain(const void *s, const Images *im, int top, int bottom) {         \
        name(s, im, top, bottom);                                                            \
    }
#define CHOSEN(name) (wide ? name##_avx2 : name##_plain)
#else
#define FOR_BOTH(name)                                                                       \
    static void name##_plain(const void *s, const Images *im, int top, int bottom) {         \
        name(s, im, top, bottom);                                                            \
    }
#define CHOSEN(name) name##_plain
#endif
FOR_BOTH(luma_band)
FOR_BOTH(down_band)
FOR_BOTH(level_band)

/* Floats that `fuse_in_pyramid` wants for images of this size. */
int64_t pyramid_workspace(int levels, int height, int width) {
    int64_t floats = ((int64_t)height * width + 3) / 4 + 16; /* luma, bytes */
    for (int k = 1; k <= levels; k++) {
        height = (height + 1) / 2, width = (width + 1) / 2;
        floats += 3 * ((int64_t)height * width + 16);
    }
    return floats + 6 * (int64_t)(height + 2) * (width + 2);
}

/* As fuse_in_floats of two_layer.c. workspace: so many floats, of any content. Height and width of
 * the coarsest level at least 2. */
void fuse_in_pyramid(const Pyramid *net, int wide, float *workspace, const uint8_t *visible,
                     int64_t visible_step, const uint8_t *thermal, int64_t thermal_step,
                     uint8_t *out, int64_t out_step, int height, int width, int channels, Team *team,
                     int threads) {
    Images im = {visible, thermal, visible_step, thermal_step, height, width, channels, out,
                 out_step};
    Level levels[MOST_LEVELS + 1] = {{height, width, NULL, NULL, NULL}};
    Stage stage = {net, levels, visible, visible_step, 0};
    (void)wide;
    if (channels == 3) {
        stage.luma = (uint8_t *)workspace, stage.luma_step = width;
        make_rows(team, threads, CHOSEN(luma_band), &stage, &im);
    }
    workspace += ((int64_t)height * width + 3) / 4 + 16;
    for (int k = 1; k <= net->levels; k++) {
        Level *l = levels + k;
        l->height = (l[-1].height + 1) / 2, l->width = (l[-1].width + 1) / 2;
        int64_t size = (int64_t)l->height * l->width + 16; /* vectors may read beyond the end */
        l->thermal = workspace, l->visible = workspace + size, l->fused = workspace + 2 * size;
        workspace += 3 * size;
        stage.at = k;
        Images rows = im;
        rows.height = l->height;
        make_rows(team, threads, CHOSEN(down_band), &stage, &rows);
    }
    base(net, levels + net->levels, workspace);
    for (stage.at = net->levels - 1; stage.at >= 0; stage.at--) {
        Images rows = im;
        rows.height = levels[stage.at].height;
        make_rows(team, threads, CHOSEN(level_band), &stage, &rows);
    }
}
