/* The 100-parameter network on bands of medians, networks/pyramid.py: pyramid.py calls it.
 *
 *     medians of bytes, level by level        median_band   as exact as the bytes are
 *     local means, on blocks of 4x4 pixels    blocks_band
 *     two layers, on blocks: gains            gains_band
 *     what the gains make of the bands        fused_band    its local means too
 *     how far contrast is held back           share_band    on blocks
 *     held back, to bytes, with colour        result_band
 *
 * Floats for images of 0..255, vectors and colour as in rows.h. Planes lie in a workspace of the
 * caller; rows in flight, of a tile of columns, on the stack. The edge is repeated.
 */
#include "floats.h"
#include "team.h"

#define LEVELS 4
#define CHANNELS 8
#define BLOCK 4
#define PART (TILE / BLOCK) /* blocks of a tile */
#define ROOM (PART + 16)    /* of a row of blocks: two edges, and what vectors read beyond */
/* Of the network, in grey levels. */
#define FAINT (0.5f * 0.5f)
#define WEAK (8.f * 8.f)
#define STILL 2.f
#define TINY (1e-8f * 255 * 255)

/* Weights for images of 0..255. */
typedef struct {
    float enter[CHANNELS][5];
    float level[LEVELS][CHANNELS];
    float leave[3][CHANNELS];
    float leave_bias[3];
    float limit;
} Pyramid;

/* Planes on blocks: means of 4x4 pixels, or what was made of them. */
enum {
    ENERGY = 0,               /* of each level: thermal, visible, both together */
    BRIGHT = 3 * LEVELS,      /* of the maximum of the last medians */
    MEAN,                     /* thermal, visible, fused */
    SQUARE = MEAN + 3,        /* the same */
    GAIN = SQUARE + 3,        /* of each level: thermal, visible; at last, of the gap */
    MOST = GAIN + 2 * LEVELS + 1, /* the larger deviation of the sources */
    SHARE,                    /* of the fused image's contrast that is let be */
    CENTRE,                   /* its local mean */
    PLANES
};

typedef struct {
    const Pyramid *net;
    int height, width, down, across; /* pixels, blocks */
    const uint8_t *source[2];        /* thermal, luma */
    int64_t source_step[2];
    uint8_t *smooth[LEVELS][2];
    int64_t smooth_step;
    float *blocks;
    int64_t block_step, plane_step;
    float *fused;
    int64_t fused_step;
    int at;
} Stage;

INLINE int clamped(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* Row y of the images of a level; the sources are level 0. */
INLINE const uint8_t *image_row(const Stage *s, int level, int which, int y) {
    return level ? s->smooth[level - 1][which] + y * s->smooth_step
                 : s->source[which] + y * s->source_step[which];
}

/* Block row y of a plane; index -1 and `across` repeat the edge. */
INLINE float *block_row(const Stage *s, int plane, int y) {
    return s->blocks + plane * s->plane_step + (int64_t)clamped(y, s->down) * s->block_step + 1;
}

INLINE void repeat_edge(const Stage *s, float *row, int left, int right) {
    if (left == 0) row[-1] = row[0];
    if (right == s->across) row[right] = row[right - 1];
}

INLINE void luma_band(const Stage *s, const Images *im, int top, int bottom) {
    for (int y = top; y < bottom; y++)
        luma_row(im->visible + y * im->visible_step,
                 (uint8_t *)s->source[1] + y * s->source_step[1], im->width);
}

/* ---- medians ---- */

INLINE uint8_t least(uint8_t a, uint8_t b) { return a < b ? a : b; }
INLINE uint8_t most(uint8_t a, uint8_t b) { return a > b ? a : b; }
INLINE uint8_t middle(uint8_t a, uint8_t b, uint8_t c) {
    return most(least(a, b), least(most(a, b), c));
}

/* n pixels of a row of medians; columns and rows lie `apart`, sorted columns first. */
INLINE void median_row(const uint8_t *const rows[3], int apart, int left, int n, int width,
                       uint8_t *restrict to) {
    uint8_t low[TILE + 32], mid[TILE + 32], high[TILE + 32];
    int from = left - apart < 0 ? 0 : left - apart;
    int end = left + n + apart > width ? width : left + n + apart, skip = from - (left - apart);
    const uint8_t *restrict a = rows[0] + from, *restrict b = rows[1] + from,
                            *restrict c = rows[2] + from;
    uint8_t *low_at = low + skip, *mid_at = mid + skip, *high_at = high + skip;
    for (size_t x = 0; x < (size_t)(end - from); x++) {
        uint8_t small = least(a[x], b[x]), large = most(a[x], b[x]);
        low_at[x] = least(small, c[x]);
        mid_at[x] = most(small, least(large, c[x]));
        high_at[x] = most(large, c[x]);
    }
    for (int x = 0; x < skip; x++) low[x] = low[skip], mid[x] = mid[skip], high[x] = high[skip];
    for (int x = skip + end - from; x < n + 2 * apart; x++)
        low[x] = low[x - 1], mid[x] = mid[x - 1], high[x] = high[x - 1];
    /* The three of a row by pointers: Python builds with -fwrapv, under which x + apart may wrap. */
    const uint8_t *l[3] = {low, low + apart, low + 2 * apart};
    const uint8_t *m[3] = {mid, mid + apart, mid + 2 * apart};
    const uint8_t *h[3] = {high, high + apart, high + 2 * apart};
    for (size_t x = 0; x < (size_t)n; x++)
        to[x] = middle(most(most(l[0][x], l[1][x]), l[2][x]), middle(m[0][x], m[1][x], m[2][x]),
                       least(least(h[0][x], h[1][x]), h[2][x]));
}

INLINE void median_band(const Stage *s, const Images *im, int top, int bottom) {
    int apart = 1 << s->at;
    (void)im;
    for (int which = 0; which < 2; which++)
        for (int y = top; y < bottom; y++) {
            const uint8_t *rows[3];
            for (int i = 0; i < 3; i++)
                rows[i] = image_row(s, s->at, which, clamped(y + (i - 1) * apart, s->height));
            uint8_t *to = s->smooth[s->at][which] + y * s->smooth_step;
            for (int left = 0; left < s->width; left += TILE) {
                int n = s->width - left < TILE ? s->width - left : TILE;
                median_row(rows, apart, left, n, s->width, to + left);
            }
        }
}

/* ---- local means ---- */

/* Sums of columns to means of blocks: n pixels from column left on, of which the last is repeated. */
INLINE void block_means(const Stage *s, int plane, int y, int left, int n, float *sums) {
    int first = left / BLOCK, blocks = (n + BLOCK - 1) / BLOCK;
    float *row = block_row(s, plane, y), *restrict to = row + first;
    for (int x = n; x < blocks * BLOCK; x++) sums[x] = sums[n - 1];
    for (int x = 0; x < blocks; x++)
        to[x] = (sums[4 * x] + sums[4 * x + 1] + sums[4 * x + 2] + sums[4 * x + 3]) *
                (1.f / (BLOCK * BLOCK));
    repeat_edge(s, row, first, first + blocks);
}

/* A row of pixels of every level, of a tile; what lies beyond is computed with, then dropped. */
typedef struct {
    float pixels[LEVELS + 1][2][TILE + LANES] __attribute__((aligned(64)));
} Row;

INLINE void read_row(Row *row, const Stage *s, int y, int left, int n) {
    for (int level = 0; level <= LEVELS; level++)
        for (int which = 0; which < 2; which++) {
            const uint8_t *restrict from = image_row(s, level, which, y) + left;
            float *restrict to = row->pixels[level][which];
            for (int x = 0; x < n; x++) to[x] = from[x];
        }
}

INLINE void add_to(float *sum, v8 value) { STORE(sum, LOAD(sum) + value); }

/* Block rows top .. bottom - 1 of what is known before the gains. All sums are exact. */
INLINE void blocks_band(const Stage *s, const Images *im, int top, int bottom) {
    Row row;
    float sums[SQUARE + 2][TILE + LANES]; /* by plane */
    (void)im;
    memset(&row, 0, sizeof row);
    for (int y = top; y < bottom; y++)
        for (int left = 0; left < s->width; left += TILE) {
            int n = s->width - left < TILE ? s->width - left : TILE;
            memset(sums, 0, sizeof sums);
            for (int i = 0; i < BLOCK; i++) {
                read_row(&row, s, clamped(BLOCK * y + i, s->height), left, n);
                for (int k = 0; k < LEVELS; k++)
                    for (int x = 0; x < n; x += LANES) {
                        v8 thermal = LOAD(row.pixels[k][0] + x) - LOAD(row.pixels[k + 1][0] + x);
                        v8 visible = LOAD(row.pixels[k][1] + x) - LOAD(row.pixels[k + 1][1] + x);
                        v8 both = thermal + visible;
                        add_to(sums[ENERGY + 3 * k] + x, thermal * thermal);
                        add_to(sums[ENERGY + 3 * k + 1] + x, visible * visible);
                        add_to(sums[ENERGY + 3 * k + 2] + x, both * both);
                    }
                for (int x = 0; x < n; x += LANES) {
                    v8 thermal = LOAD(row.pixels[0][0] + x), visible = LOAD(row.pixels[0][1] + x);
                    add_to(sums[BRIGHT] + x, larger(LOAD(row.pixels[LEVELS][0] + x),
                                                    LOAD(row.pixels[LEVELS][1] + x)));
                    add_to(sums[MEAN] + x, thermal);
                    add_to(sums[MEAN + 1] + x, visible);
                    add_to(sums[SQUARE] + x, thermal * thermal);
                    add_to(sums[SQUARE + 1] + x, visible * visible);
                }
            }
            for (int plane = 0; plane < SQUARE + 2; plane++)
                if (plane != MEAN + 2) block_means(s, plane, y, left, n, sums[plane]);
        }
}

/* Blocks first .. first + n - 1 of a row, smoothed by (1, 2, 1) / 4 both ways. */
INLINE void smoothed(const Stage *s, int plane, int y, int first, int n, float *restrict to) {
    const float *restrict above = block_row(s, plane, y - 1) + first - 1,
                *restrict here = block_row(s, plane, y) + first - 1,
                *restrict below = block_row(s, plane, y + 1) + first - 1;
    float sums[ROOM];
    for (int x = 0; x < n + 2; x++) sums[x] = 0.25f * (above[x] + below[x]) + 0.5f * here[x];
    for (int x = 0; x < n; x++) to[x] = 0.25f * (sums[x] + sums[x + 2]) + 0.5f * sums[x + 1];
}

INLINE float larger_of(float a, float b) { return a > b ? a : b; }

/* ---- the two layers ---- */

INLINE void gains_band(const Stage *s, const Images *im, int top, int bottom) {
    const Pyramid *net = s->net;
    float x[5][ROOM], energy[2][ROOM], out[3][ROOM], gap[ROOM], variance[2][ROOM];
    (void)im;
    for (int y = top; y < bottom; y++)
        for (int first = 0; first < s->across; first += PART) {
            int n = s->across - first < PART ? s->across - first : PART;
            smoothed(s, BRIGHT, y, first, n, x[4]);
            for (int i = 0; i < n; i++) x[4][i] *= 1 / 255.f, gap[i] = 0;
            for (int level = 0; level < LEVELS; level++) {
                for (int p = 0; p < 2; p++)
                    smoothed(s, ENERGY + 3 * level + p, y, first, n, energy[p]);
                smoothed(s, ENERGY + 3 * level + 2, y, first, n, x[2]);
                for (int i = 0; i < n; i++) {
                    float top_energy = larger_of(energy[0][i], energy[1][i]);
                    float share = 1 / (top_energy + FAINT);
                    x[0][i] = (energy[0][i] + FAINT) * share;
                    x[1][i] = (energy[1][i] + FAINT) * share;
                    x[2][i] = x[2][i] / (4 * top_energy + FAINT);
                    x[3][i] = top_energy / (top_energy + WEAK);
                }
                for (int k = 0; k < 3; k++)
                    for (int i = 0; i < n; i++) out[k][i] = net->leave_bias[k];
                for (int c = 0; c < CHANNELS; c++) {
                    const float *w = net->enter[c];
                    float bias = net->level[level][c];
                    for (int i = 0; i < n; i++) {
                        float h = bias + w[0] * x[0][i] + w[1] * x[1][i] + w[2] * x[2][i] +
                                  w[3] * x[3][i] + w[4] * x[4][i];
                        h = larger_of(h, 0);
                        for (int k = 0; k < 3; k++) out[k][i] += net->leave[k][c] * h;
                    }
                }
                for (int p = 0; p < 2; p++) {
                    float *to = block_row(s, GAIN + 2 * level + p, y);
                    memcpy(to + first, out[p], n * sizeof *to);
                    repeat_edge(s, to, first, first + n);
                }
                for (int i = 0; i < n; i++) gap[i] += out[2][i];
            }
            float *to = block_row(s, GAIN + 2 * LEVELS, y), *strong = block_row(s, MOST, y);
            memcpy(to + first, gap, n * sizeof *to);
            repeat_edge(s, to, first, first + n);
            for (int p = 0; p < 2; p++) {
                smoothed(s, MEAN + p, y, first, n, x[p]);
                smoothed(s, SQUARE + p, y, first, n, variance[p]);
                for (int i = 0; i < n; i++) variance[p][i] -= x[p][i] * x[p][i];
            }
            for (int i = 0; i < n; i++)
                strong[first + i] =
                    __builtin_sqrtf(larger_of(larger_of(variance[0][i], variance[1][i]), TINY));
        }
}

/* ---- from blocks to pixels ---- */

#ifdef __clang__
#define PICK(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
#define PICK(v, ...) __builtin_shuffle(v, (i8){__VA_ARGS__})
#endif

/* Blocks first - 1 .. first + n of a plane at the height of pixel row y: index 0 is first - 1. */
INLINE void between_rows(const Stage *s, int plane, int y, int first, int n, float *restrict to) {
    static const float below[BLOCK] = {0.625f, 0.875f, 0.125f, 0.375f};
    int row = y / BLOCK - (y % BLOCK < 2);
    float share = below[y % BLOCK];
    const float *restrict a = block_row(s, plane, row) + first - 1,
                *restrict b = block_row(s, plane, row + 1) + first - 1;
    for (int x = 0; x < n + 2; x++) to[x] = (1 - share) * a[x] + share * b[x];
}

/* The eight pixels of two blocks, of which the first has index i. */
INLINE v8 between_columns(const float *row, int i) {
    const v8 left = {0.375f, 0.125f, 0.875f, 0.625f, 0.375f, 0.125f, 0.875f, 0.625f};
    v8 blocks = LOAD(row + i);
    return PICK(blocks, 0, 0, 1, 1, 1, 1, 2, 2) * left +
           PICK(blocks, 1, 1, 2, 2, 2, 2, 3, 3) * (1.f - left);
}

/* Block rows top .. bottom - 1: four rows of pixels each, and their means. */
INLINE void fused_band(const Stage *s, const Images *im, int top, int bottom) {
    Row row;
    float gains[2 * LEVELS + 1][ROOM], sums[2][TILE + LANES];
    (void)im;
    memset(&row, 0, sizeof row);
    memset(gains, 0, sizeof gains);
    for (int y = top; y < bottom; y++)
        for (int left = 0; left < s->width; left += TILE) {
            int n = s->width - left < TILE ? s->width - left : TILE;
            int first = left / BLOCK, blocks = (n + BLOCK - 1) / BLOCK;
            memset(sums, 0, sizeof sums);
            for (int i = 0; i < BLOCK; i++) {
                int at = clamped(BLOCK * y + i, s->height);
                float *fused = s->fused + at * s->fused_step + left;
                read_row(&row, s, at, left, n);
                for (int p = 0; p < 2 * LEVELS + 1; p++)
                    between_rows(s, GAIN + p, at, first, blocks, gains[p]);
                for (int x = 0; x < n; x += LANES) {
                    v8 thermal = LOAD(row.pixels[LEVELS][0] + x);
                    v8 visible = LOAD(row.pixels[LEVELS][1] + x);
                    v8 high = larger(thermal, visible), low = smaller(thermal, visible);
                    v8 sum = high - between_columns(gains[2 * LEVELS], x / BLOCK) * (high - low);
                    for (int k = LEVELS - 1; k >= 0; k--) {
                        v8 finer = LOAD(row.pixels[k][0] + x);
                        sum += between_columns(gains[2 * k], x / BLOCK) * (finer - thermal);
                        thermal = finer, finer = LOAD(row.pixels[k][1] + x);
                        sum += between_columns(gains[2 * k + 1], x / BLOCK) * (finer - visible);
                        visible = finer;
                    }
                    STORE(fused + x, sum);
                    add_to(sums[0] + x, sum);
                    add_to(sums[1] + x, sum * sum);
                }
            }
            block_means(s, MEAN + 2, y, left, n, sums[0]);
            block_means(s, SQUARE + 2, y, left, n, sums[1]);
        }
}

INLINE void share_band(const Stage *s, const Images *im, int top, int bottom) {
    float mean[ROOM], own[ROOM];
    (void)im;
    for (int y = top; y < bottom; y++)
        for (int first = 0; first < s->across; first += PART) {
            int n = s->across - first < PART ? s->across - first : PART;
            smoothed(s, MEAN + 2, y, first, n, mean);
            smoothed(s, SQUARE + 2, y, first, n, own);
            float *share = block_row(s, SHARE, y), *centre = block_row(s, CENTRE, y);
            const float *strong = block_row(s, MOST, y) + first;
            for (int i = 0; i < n; i++) {
                float deviation = __builtin_sqrtf(larger_of(own[i] - mean[i] * mean[i], TINY));
                float let = (s->net->limit * strong[i] + STILL) / (deviation + STILL);
                share[first + i] = let < 1 ? let : 1;
                centre[first + i] = mean[i];
            }
            repeat_edge(s, share, first, first + n);
            repeat_edge(s, centre, first, first + n);
        }
}

INLINE void result_band(const Stage *s, const Images *im, int top, int bottom) {
    float share[ROOM], centre[ROOM];
    uint8_t grey[TILE + LANES];
    memset(share, 0, sizeof share);
    memset(centre, 0, sizeof centre);
    for (int y = top; y < bottom; y++)
        for (int left = 0; left < s->width; left += TILE) {
            int n = s->width - left < TILE ? s->width - left : TILE;
            int first = left / BLOCK, blocks = (n + BLOCK - 1) / BLOCK;
            const float *fused = s->fused + y * s->fused_step + left;
            between_rows(s, SHARE, y, first, blocks, share);
            between_rows(s, CENTRE, y, first, blocks, centre);
            for (int x = 0; x < n; x += LANES) {
                v8 middle_ = between_columns(centre, x / BLOCK);
                v8 let = between_columns(share, x / BLOCK);
                grey8(middle_ + let * (LOAD(fused + x) - middle_), 0, grey + x);
            }
            if (im->channels == 1)
                grey_out(im, grey, y, left, n);
            else
                colour_row(im->visible + y * im->visible_step + 3 * (int64_t)left, grey,
                           im->out + y * im->out_step + 3 * (int64_t)left, n);
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
FOR_BOTH(median_band)
FOR_BOTH(blocks_band)
FOR_BOTH(gains_band)
FOR_BOTH(fused_band)
FOR_BOTH(share_band)
FOR_BOTH(result_band)

/* Strides in bytes and floats: whole vectors of pixels, and the edges of blocks. */
INLINE int64_t byte_step(int width) { return (width + 63) / 64 * 64; }
INLINE int64_t float_step(int width) { return (width + LANES) / LANES * LANES; }
INLINE int64_t block_step(int across) { return across + 16; }

/* Bytes that `fuse_in_pyramid` wants for images of this size. */
int64_t pyramid_workspace(int height, int width) {
    int64_t down = (height + BLOCK - 1) / BLOCK, across = (width + BLOCK - 1) / BLOCK;
    return (2 * LEVELS + 1) * byte_step(width) * height + 4 * float_step(width) * height +
           4 * PLANES * down * block_step(across) + 1024;
}

/* As fuse_in_floats of two_layer.c. workspace: so many bytes, of any content, aligned to 64. */
void fuse_in_pyramid(const Pyramid *net, int wide, uint8_t *workspace, const uint8_t *visible,
                     int64_t visible_step, const uint8_t *thermal, int64_t thermal_step,
                     uint8_t *out, int64_t out_step, int height, int width, int channels, Team *team,
                     int threads) {
    Images im = {visible, thermal, visible_step, thermal_step, height, width, channels, out,
                 out_step};
    Stage s = {.net = net, .height = height, .width = width, .down = (height + BLOCK - 1) / BLOCK,
               .across = (width + BLOCK - 1) / BLOCK, .source = {thermal, visible},
               .source_step = {thermal_step, visible_step}, .smooth_step = byte_step(width),
               .fused_step = float_step(width)};
    Images blocks = im;
    blocks.height = s.down;
    (void)wide;
    if (channels == 3) {
        s.source[1] = workspace, s.source_step[1] = s.smooth_step;
        make_rows(team, threads, CHOSEN(luma_band), &s, &im);
    }
    workspace += s.smooth_step * height;
    for (int k = 0; k < LEVELS; k++)
        for (int which = 0; which < 2; which++)
            s.smooth[k][which] = workspace, workspace += s.smooth_step * height;
    s.fused = (float *)workspace, s.blocks = s.fused + s.fused_step * height;
    s.block_step = block_step(s.across), s.plane_step = s.down * s.block_step;
    for (s.at = 0; s.at < LEVELS; s.at++)
        make_rows(team, threads, CHOSEN(median_band), &s, &im);
    make_rows(team, threads, CHOSEN(blocks_band), &s, &blocks);
    make_rows(team, threads, CHOSEN(gains_band), &s, &blocks);
    make_rows(team, threads, CHOSEN(fused_band), &s, &blocks);
    make_rows(team, threads, CHOSEN(share_band), &s, &blocks);
    make_rows(team, threads, CHOSEN(result_band), &s, &im);
}
