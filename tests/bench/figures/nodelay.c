/* Turns Nagle's algorithm off wherever a program turns it on: put before its code by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    int on = 1;
    if (level == IPPROTO_TCP && name == TCP_NODELAY) {
        value = &on;
        length = sizeof on;
    }
    return real(fd, level, name, value, length);
}
