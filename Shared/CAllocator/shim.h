// Settings of the C library's allocator, which Swift's own modules for it leave out.
#ifndef OVERSYNC_CALLOCATOR_SHIM_H
#define OVERSYNC_CALLOCATOR_SHIM_H

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

/// Keeps freed memory for the next use: blocks of up to `block` bytes, and `end` bytes at the end of a heap.
/// Does nothing where the allocator is not glibc's.
static inline void oversync_keep_freed_memory(int block, int end) {
#if defined(M_MMAP_THRESHOLD) && defined(M_TRIM_THRESHOLD)
    mallopt(M_MMAP_THRESHOLD, block);
    mallopt(M_TRIM_THRESHOLD, end);
#endif
}

#endif
