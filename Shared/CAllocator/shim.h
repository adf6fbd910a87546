// Settings of the C library's allocator, which Swift's own modules for it leave out.
#ifndef OVERSYNC_CALLOCATOR_SHIM_H
#define OVERSYNC_CALLOCATOR_SHIM_H

#include <stddef.h>

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

#if defined(__GLIBC__)
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#endif

/// Keeps freed memory for the next use: blocks of up to `block` bytes, and `end` bytes at the end of a heap.
/// There are at most `heaps` heaps, which the threads share.
/// Does nothing where the allocator is not glibc's.
static inline void oversync_keep_freed_memory(int block, int end, int heaps) {
#if defined(M_MMAP_THRESHOLD) && defined(M_TRIM_THRESHOLD)
    mallopt(M_MMAP_THRESHOLD, block);
    mallopt(M_TRIM_THRESHOLD, end);
#endif
#if defined(M_ARENA_MAX)
    mallopt(M_ARENA_MAX, heaps);
#endif
}

#if defined(__GLIBC__)

/// The threads that visit the heaps: each tells that it has been at its own, and stays until all have.
struct oversync_visit {
    sem_t visited;
    pthread_mutex_t end;
};

/// Bytes that make glibc look at the end of a heap when they are freed (FASTBIN_CONSOLIDATION_THRESHOLD).
enum { oversync_visit_bytes = 64 << 10 };

/// Bytes of a visitor's stack.
enum { oversync_visit_stack = 128 << 10 };

static void *oversync_visit_heap(void *argument) {
    struct oversync_visit *visit = (struct oversync_visit *)argument;
    // Volatile: a compiler may leave out a block that nobody uses.
    void *volatile block = malloc(oversync_visit_bytes);
    free(block);
    sem_post(&visit->visited);
    pthread_mutex_lock(&visit->end);
    pthread_mutex_unlock(&visit->end);
    return NULL;
}

/// Starts threads that free a block each. glibc gives a new thread a heap that no thread has, or else the next of
/// all: twice as many threads as there are heaps, all there at once, come to every heap.
static inline void oversync_visit_heaps(int heaps) {
    struct oversync_visit visit;
    pthread_attr_t attributes;
    size_t most = 2 * (size_t)heaps, started = 0;
    pthread_t *threads = (pthread_t *)calloc(most, sizeof(pthread_t));
    if (threads == NULL) return;
    sem_init(&visit.visited, 0, 0);
    pthread_mutex_init(&visit.end, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, oversync_visit_stack);
    pthread_mutex_lock(&visit.end);
    // Where no more threads may be started, fewer heaps are visited.
    while (started < most
           && pthread_create(&threads[started], &attributes, oversync_visit_heap, &visit) == 0) started++;
    // A signal may interrupt it.
    for (size_t visitor = 0; visitor < started; visitor++) while (sem_wait(&visit.visited) != 0);
    pthread_mutex_unlock(&visit.end);
    for (size_t visitor = 0; visitor < started; visitor++) pthread_join(threads[visitor], NULL);
    pthread_attr_destroy(&attributes);
    pthread_mutex_destroy(&visit.end);
    sem_destroy(&visit.visited);
    free(threads);
}

#endif

/// Gives the free memory of all heaps back to the system, wherever it lies. Holds the heaps' locks meanwhile.
/// From then on `end` bytes at the end of a heap are kept again.
/// Does nothing where the allocator is not glibc's.
static inline void oversync_return_freed_memory(int heaps, int end) {
#if defined(__GLIBC__)
    // malloc_trim leaves out the end of each heap but the first. That goes back when a block of the heap is freed
    // while little may be kept there.
    mallopt(M_TRIM_THRESHOLD, oversync_visit_bytes);
    oversync_visit_heaps(heaps);
    mallopt(M_TRIM_THRESHOLD, end);
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
