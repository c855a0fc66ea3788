/*
 * Preloaded into a server: its disk fails when a test says so. FAILING_DISK names a file of 64 bytes that both map.
 *   byte 0      what fails: 'w' writes with EIO, 'f' writes with ENOSPC, 's' the next sync with EIO (once); else nothing
 *   byte 1      1 once a sync has failed
 *   bytes 4-7   calls that changed a database file, or synced one, after a sync had failed
 * Only files whose path has "/linarite.db" in it are meant.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static volatile unsigned char *control;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("FAILING_DISK");
  int fd = path ? open(path, O_RDWR) : -1;
  if (fd < 0) abort();
  void *bytes = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED) abort();
  control = bytes;
  close(fd);
}

static int is_meant(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/linarite.db") != NULL;
}

static void note_change(void) {
  if (control[1]) __atomic_add_fetch((unsigned *)(control + 4), 1, __ATOMIC_SEQ_CST);
}

/* Whether the call is to fail; errno is set then. */
static int fails_write(int fd) {
  if (!is_meant(fd)) return 0;
  note_change();
  if (control[0] != 'w' && control[0] != 'f') return 0;
  errno = control[0] == 'w' ? EIO : ENOSPC;
  return 1;
}

static int fails_sync(int fd) {
  if (!is_meant(fd)) return 0;
  note_change();
  if (control[0] != 's') return 0;
  control[0] = 0;
  control[1] = 1;
  errno = EIO;
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return fails_write(fd) ? -1 : NEXT(pwrite)(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return fails_write(fd) ? -1 : NEXT(pwrite64)(fd, bytes, length, offset);
}
ssize_t write(int fd, const void *bytes, size_t length) {
  return fails_write(fd) ? -1 : NEXT(write)(fd, bytes, length);
}
int ftruncate(int fd, off_t length) { return fails_write(fd) ? -1 : NEXT(ftruncate)(fd, length); }
int ftruncate64(int fd, off64_t length) { return fails_write(fd) ? -1 : NEXT(ftruncate64)(fd, length); }
int fsync(int fd) { return fails_sync(fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails_sync(fd) ? -1 : NEXT(fdatasync)(fd); }
int unlink(const char *path) {
  if (strstr(path, "/linarite.db")) note_change();
  return NEXT(unlink)(path);
}
