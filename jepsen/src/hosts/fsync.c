/* Stands before fsync and fdatasync of the member's data disk: late, refused or not done at all, as a page in shared
 * memory says. Everything else passes. Counts whom it met. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct page {
    _Atomic uint64_t device, late_us, error, lies, met;
};

static struct page *page;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("HAA_JEPSEN_FSYNC");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) page = at;
}

static int done(int file, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    uint64_t late = page ? page->late_us : 0, error = page ? page->error : 0, lies = page ? page->lies : 0;
    struct stat found;
    if ((late || error || lies) && fstat(file, &found) == 0 && found.st_dev == page->device) {
        page->met++;
        struct timespec span = {late / 1000000, late % 1000000 * 1000};
        while (late && nanosleep(&span, &span) && errno == EINTR) {}
        if (error) {
            errno = (int)error;
            return -1;
        }
        if (lies) return 0;
    }
    return real(file);
}

int fsync(int file) { return done(file, "fsync"); }
int fdatasync(int file) { return done(file, "fdatasync"); }
