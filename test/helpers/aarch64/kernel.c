/* The kernel without an operating system, for the emulator: emulator.py builds and calls it, with
 * PYRAMID that of pyramid.c. */
#ifdef PYRAMID
#include "../../../multimodal_fusion/fusers/kernel/pyramid.c"
#else
#include "../../../multimodal_fusion/fusers/kernel/two_layer.c"
#endif

/* The compiler needs these two; `volatile`, lest it makes them of themselves. */
void *memset(void *to, int value, size_t n) {
    volatile uint8_t *at = to;
    while (n--) *at++ = (uint8_t)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    volatile uint8_t *at = to;
    for (const uint8_t *source = from; n--;) *at++ = *source++;
    return to;
}

void make_rows(Team *team, int threads, Band make, const void *net, const Images *im) {
    (void)team, (void)threads;
    make(net, im, 0, im->height);
}

/* The program's entry. Rows lie side by side; there is room behind the result. */
#ifdef PYRAMID
void fuse(const Pyramid *net, const uint8_t *visible, const uint8_t *thermal, uint8_t *out, int height,
          int width, int channels) {
    uint8_t *room = out + ((int64_t)height * width * channels + 63) / 64 * 64;
    fuse_in_pyramid(net, 0, room, visible, (int64_t)width * channels, thermal, width, out,
                    (int64_t)width * channels, height, width, channels, NULL, 1);
}
#else
void fuse(const Network *net, const uint8_t *visible, const uint8_t *thermal, uint8_t *out, int height,
          int width, int channels) {
    fuse_in_floats(net, has_wide_vectors(), visible, (int64_t)width * channels, thermal, width, out,
                   (int64_t)width * channels, height, width, channels, NULL, 1);
}
#endif
