// Settings of the C library's allocator, which Swift's own modules for it leave out.
#ifndef OVERSYNC_CALLOCATOR_SHIM_H
#define OVERSYNC_CALLOCATOR_SHIM_H

#include <stddef.h>

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

/// Gives the free memory of all heaps back to the system, wherever it lies. Holds the heaps' locks meanwhile.
/// Does nothing where the allocator is not glibc's.
static inline void oversync_return_freed_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

/// Bytes that the program has taken from the allocator and not freed; 0 where the allocator does not tell.
static inline size_t oversync_allocated_bytes(void) {
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
#else
    return 0;
#endif
}

#endif
