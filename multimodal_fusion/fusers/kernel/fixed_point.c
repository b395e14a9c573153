/* The network of two_layer.c in 16-bit numbers, for AVX2: fixed_point.py calls it.
 *
 * A pixel of both inputs lies in one 32-bit word, thermal in the lower half, visible in the upper,
 * and so do channels 0 and 1 of the hidden layer, and 2 and 3: the instruction that multiplies
 * pairs and adds each two products to 32 bits then does 16 multiply-adds where the one for floats
 * does 8. Sums are exact; only weights and the hidden layer are rounded. They may wrap on the way
 * as long as the last one fits, which fixed_point.py has made sure of.
 */
#include "team.h"

/* Inputs are 0..255 times 128. Halves of a word: the first is the lower one. */
typedef struct {
    int32_t first[3][3][4]; /* row, column, hidden channel; halves: thermal, visible */
    int32_t bias[4];
    int32_t second[2][3][3]; /* pair of hidden channels, row, column; halves: the two channels */
    int32_t last_bias;
    int32_t shift; /* grey levels of a linear output are 2^shift times too large */
    float gain;    /* makes the last sum what tanh is taken of */
    int32_t tanh;
} FixedNetwork;

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ADDED(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))

typedef struct {
    int row[4];
    int32_t pixels[4][STRIDE] __attribute__((aligned(64)));
} Inputs;

typedef struct {
    int row[4];
    int32_t pairs[4][2][STRIDE] __attribute__((aligned(64)));
} Hidden;

INLINE void grey_pairs(const uint8_t *restrict thermal, const uint8_t *restrict visible,
                       int32_t *restrict to, size_t n) {
    for (size_t x = 0; x < n; x++) to[x] = thermal[x] << 7 | visible[x] << 23;
}

/* The same from BGR: luma as luma_row computes it, eight pixels at a time. */
AVX2 INLINE void colour_pairs(const uint8_t *thermal, const uint8_t *bgr, int32_t *to, int n) {
    /* Of four pixels, 12 bytes: blue and green, or red and nothing, as halves of a word. */
    const __m256i blue_green = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1));
    const __m256i red = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1));
    const __m256i weights = _mm256_set1_epi32(3735 | 19235 << 16), weight = _mm256_set1_epi32(9798);
    int x = 0;
    for (; x + 10 <= n; x += 8) { /* the second load takes four bytes more than it needs */
        __m256i pixels = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(bgr + 3 * x))),
            _mm_loadu_si128((const __m128i *)(bgr + 3 * x + 12)), 1);
        __m256i luma = ADDED(_mm256_set1_epi32(16384), _mm256_shuffle_epi8(pixels, blue_green),
                             weights);
        luma = ADDED(luma, _mm256_shuffle_epi8(pixels, red), weight);
        __m256i heat = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(thermal + x)));
        luma = _mm256_slli_epi32(_mm256_srli_epi32(luma, 15), 23);
        STORE(to + x, _mm256_or_si256(luma, _mm256_slli_epi32(heat, 7)));
    }
    uint8_t luma[16]; /* fewer than ten are left */
    luma_row(bgr + 3 * x, luma, n - x);
    grey_pairs(thermal + x, luma, to + x, n - x);
}

/* Input row `row` of the tile: columns left - 2 .. right + 1, reflected at the image's edges. */
AVX2 INLINE int input_row(Inputs *in, const Images *im, int row, int left, int right) {
    int place = row & 3;
    if (in->row[place] == row) return place;
    in->row[place] = row;
    int from = left > 2 ? left - 2 : 0, to = right + 2 < im->width ? right + 2 : im->width;
    int32_t *pixels = in->pixels[place], *first = pixels + from - left + 2;
    const uint8_t *thermal = im->thermal + row * im->thermal_step + from;
    const uint8_t *visible = im->visible + row * im->visible_step + (int64_t)from * im->channels;
    if (im->channels == 1)
        grey_pairs(thermal, visible, first, to - from);
    else
        colour_pairs(thermal, visible, first, to - from);
    if (left == 0) pixels[1] = pixels[3];
    if (right == im->width) pixels[right - left + 2] = pixels[right - left];
    return place;
}

/* Hidden row `row` of the tile: columns left - 1 .. right, reflected by its own values. */
AVX2 INLINE int hidden_row(Hidden *hidden, Inputs *in, const Images *im, const FixedNetwork *net,
                           int row, int left, int right) {
    int place = row & 3, count = right - left + 2;
    if (hidden->row[place] == row) return place;
    hidden->row[place] = row;
    const int32_t *rows[3];
    for (int i = 0; i < 3; i++)
        rows[i] = in->pixels[input_row(in, im, reflect(row - 1 + i, im->height), left, right)];
    for (int x = 0; x < count; x += 2 * LANES) {
        __m256i sum[4][2];
        for (int c = 0; c < 4; c++) sum[c][0] = sum[c][1] = _mm256_set1_epi32(net->bias[c]);
        ROLLED for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                __m256i near = LOAD(rows[i] + x + j), far = LOAD(rows[i] + x + j + LANES);
                for (int c = 0; c < 4; c++) {
                    __m256i weight = _mm256_set1_epi32(net->first[i][j][c]);
                    sum[c][0] = ADDED(sum[c][0], near, weight);
                    sum[c][1] = ADDED(sum[c][1], far, weight);
                }
            }
        for (int c = 0; c < 4; c += 2) /* the upper halves of two channels, side by side */
            for (int k = 0; k < 2; k++) {
                __m256i both = _mm256_blend_epi16(_mm256_srli_epi32(sum[c][k], 16),
                                                  sum[c + 1][k], 0xAA);
                STORE(hidden->pairs[place][c / 2] + x + k * LANES,
                      _mm256_max_epi16(both, _mm256_setzero_si256()));
            }
    }
    for (int c = 0; c < 2; c++) {
        int32_t *pairs = hidden->pairs[place][c];
        if (left == 0) pairs[0] = pairs[2];
        if (right == im->width) pairs[count - 1] = pairs[count - 3];
    }
    return place;
}

/* 32 pixels, rounded and clipped to 8 bits. */
AVX2 INLINE void grey32(__m256i sum[4], const FixedNetwork *net, int tanh, uint8_t *to) {
    __m128i shift = _mm_cvtsi32_si128(net->shift);
    for (int k = 0; k < 4; k++)
        if (tanh)
            sum[k] = _mm256_cvtps_epi32(
                (__m256)(tanh8((v8)_mm256_cvtepi32_ps(sum[k]) * net->gain) * 255.f));
        else
            sum[k] = _mm256_sra_epi32(sum[k], shift); /* a half is in the bias */
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(sum[0], sum[1]),
                                        _mm256_packs_epi32(sum[2], sum[3]));
    /* Packed within each 128 bits. */
    STORE(to, _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}

/* Two rows of output from four of the hidden layer. */
AVX2 INLINE void output_rows(const Hidden *hidden, const int places[4], const FixedNetwork *net,
                             int count, int tanh, uint8_t fused[2][STRIDE]) {
    for (int x = 0; x < count; x += 4 * LANES) {
        __m256i upper[4], lower[4];
        for (int k = 0; k < 4; k++) upper[k] = lower[k] = _mm256_set1_epi32(net->last_bias);
        ROLLED for (int i = 0; i < 4; i++)
            for (int c = 0; c < 2; c++)
                for (int j = 0; j < 3; j++) {
                    const int32_t *pairs = hidden->pairs[places[i]][c] + x + j;
                    __m256i h[4];
                    for (int k = 0; k < 4; k++) h[k] = LOAD(pairs + k * LANES);
                    if (i < 3) {
                        __m256i weight = _mm256_set1_epi32(net->second[c][i][j]);
                        for (int k = 0; k < 4; k++) upper[k] = ADDED(upper[k], h[k], weight);
                    }
                    if (i > 0) {
                        __m256i weight = _mm256_set1_epi32(net->second[c][i - 1][j]);
                        for (int k = 0; k < 4; k++) lower[k] = ADDED(lower[k], h[k], weight);
                    }
                }
        grey32(upper, net, tanh, fused[0] + x);
        grey32(lower, net, tanh, fused[1] + x);
    }
}

/* Row y: the change of luma, whose old value is in the pairs, added to three channels. */
AVX2 INLINE void colour_out(const Images *im, const int32_t *pairs, const uint8_t *fused, int y,
                            int left, int count) {
    const uint8_t *bgr = im->visible + y * im->visible_step + 3 * (int64_t)left;
    uint8_t *out = im->out + y * im->out_step + 3 * (int64_t)left;
    const __m128i thrice[3] = {
        _mm_setr_epi8(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5),
        _mm_setr_epi8(5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10),
        _mm_setr_epi8(10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15),
    };
    int x = 0;
    for (; x + 16 <= count; x += 16) {
        __m256i words = _mm256_packus_epi32(_mm256_srli_epi32(LOAD(pairs + x), 23),
                                            _mm256_srli_epi32(LOAD(pairs + x + LANES), 23));
        words = _mm256_permute4x64_epi64(words, 0xD8);
        __m128i old = _mm_packus_epi16(_mm256_castsi256_si128(words),
                                       _mm256_extracti128_si256(words, 1));
        __m128i new = _mm_loadu_si128((const __m128i *)(fused + x));
        __m128i more = _mm_subs_epu8(new, old), less = _mm_subs_epu8(old, new); /* one is zero */
        for (int k = 0; k < 3; k++) {
            __m128i sum = _mm_loadu_si128((const __m128i *)(bgr + 3 * x + 16 * k));
            sum = _mm_adds_epu8(sum, _mm_shuffle_epi8(more, thrice[k]));
            sum = _mm_subs_epu8(sum, _mm_shuffle_epi8(less, thrice[k]));
            _mm_storeu_si128((__m128i *)(out + 3 * x + 16 * k), sum);
        }
    }
    colour_row(bgr + 3 * x, fused + x, out + 3 * x, count - x);
}

AVX2 static void band(const void *network, const Images *im, int top, int bottom) {
    const FixedNetwork *net = network;
    Inputs in;
    Hidden hidden;
    uint8_t fused[2][STRIDE];
    memset(&in, 0, sizeof in); /* columns beyond the tile are computed with, then dropped */
    memset(&hidden, 0, sizeof hidden);
    int width = im->width, height = im->height, tiles = (width + TILE - 1) / TILE;
    for (int t = 0; t < tiles; t++) {
        int left = (int)((int64_t)width * t / tiles);
        int right = (int)((int64_t)width * (t + 1) / tiles);
        for (int i = 0; i < 4; i++) in.row[i] = hidden.row[i] = -1;
        for (int y = top; y < bottom; y += 2) {
            int places[4];
            for (int i = 0; i < 4; i++) {
                int row = y - 1 + i;
                row = row > height ? y : reflect(row, height); /* below an odd last row: unused */
                places[i] = hidden_row(&hidden, &in, im, net, row, left, right);
            }
            if (net->tanh)
                output_rows(&hidden, places, net, right - left, 1, fused);
            else
                output_rows(&hidden, places, net, right - left, 0, fused);
            for (int i = 0; i < 2 && y + i < bottom; i++)
                if (im->channels == 1)
                    grey_out(im, fused[i], y + i, left, right - left);
                else
                    colour_out(im, in.pixels[input_row(&in, im, y + i, left, right)] + 2, fused[i],
                               y + i, left, right - left);
        }
    }
}
#endif

/* As fuse_in_floats of two_layer.c. Only where has_wide_vectors() says so. */
void fuse_in_words(const FixedNetwork *net, const uint8_t *visible, int64_t visible_step,
                   const uint8_t *thermal, int64_t thermal_step, uint8_t *out, int64_t out_step,
                   int height, int width, int channels, Team *team, int threads) {
#if defined(__x86_64__)
    Images im = {visible, thermal, visible_step, thermal_step, height, width, channels, out,
                 out_step};
    make_rows(team, threads, band, net, &im);
#endif
}
