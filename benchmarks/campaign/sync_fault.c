/* Makes a disk bad at will: preloaded into the gateway, it lets fsync and fdatasync fail or wait.
 *
 * SYNC_FAULT names a file of one 32-bit number, which may change at any time:
 * 0: the disk is good; 1: every sync fails with EIO; more: every sync first waits for so many milliseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *order;

__attribute__((constructor)) static void open_order(void) {
    const char *name = getenv("SYNC_FAULT");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *order, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        order = page;
    close(file);
}

static int obey(const char *name, int file) {
    int32_t now = order ? *order : 0;
    if (now == 1) {
        errno = EIO;
        return -1;
    }
    if (now > 1) {
        struct timespec wait = {now / 1000, now % 1000 * 1000000L};
        nanosleep(&wait, NULL);
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return obey("fsync", file); }
int fdatasync(int file) { return obey("fdatasync", file); }
