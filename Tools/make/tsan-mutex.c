// Shows ThreadSanitizer the contended locks of Swift's `Mutex` on Linux.
//
// A `Mutex` that is free is locked by an atomic exchange in the caller's code, which the sanitizer sees. One that is not
// free is locked in the standard library, by an exchange or by the kernel, and the library is not compiled for the
// sanitizer: it would report the state of every contended `Mutex` as a data race. `Tools/make/test.sh` preloads these
// functions, which stand before those of the library, call them, and tell the sanitizer who locked what.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer, which the test program contains, and the processes that tests start do not.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

// The methods of `Synchronization._MutexHandle`: _lockSlow(_:), _tryLockSlow() and _unlockSlow().
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

METHOD void oversync_lock(uint32_t thread, SELF handle) __asm__(LOCK);
METHOD bool oversync_try_lock(SELF handle) __asm__(TRY_LOCK);
METHOD void oversync_unlock(SELF handle) __asm__(UNLOCK);

static METHOD void (*next_lock)(uint32_t thread, SELF handle);
static METHOD bool (*next_try_lock)(SELF handle);
static METHOD void (*next_unlock)(SELF handle);

// Before `main`, and so before there are threads.
__attribute__((constructor)) static void find_the_library(void) {
    *(void **)&next_lock = dlsym(RTLD_NEXT, LOCK);
    *(void **)&next_try_lock = dlsym(RTLD_NEXT, TRY_LOCK);
    *(void **)&next_unlock = dlsym(RTLD_NEXT, UNLOCK);
}

METHOD void oversync_lock(uint32_t thread, SELF handle) {
    next_lock(thread, handle);
    if (__tsan_acquire) __tsan_acquire(handle);
}

METHOD bool oversync_try_lock(SELF handle) {
    bool locked = next_try_lock(handle);
    if (locked && __tsan_acquire) __tsan_acquire(handle);
    return locked;
}

METHOD void oversync_unlock(SELF handle) {
    if (__tsan_release) __tsan_release(handle);
    next_unlock(handle);
}
