// zlib. Its initialisers are macros, which Swift does not see.
#ifndef OVERSYNC_CZLIB_SHIM_H
#define OVERSYNC_CZLIB_SHIM_H

#include <zlib.h>

/// windowBits for a gzip stream (zlib.h, inflateInit2 and deflateInit2).
enum { oversync_gzip_window = 15 + 16 };

static inline int oversync_inflate_init(z_stream *stream) {
    return inflateInit2(stream, oversync_gzip_window);
}

static inline int oversync_deflate_init(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, oversync_gzip_window, 8, Z_DEFAULT_STRATEGY);
}

#endif
