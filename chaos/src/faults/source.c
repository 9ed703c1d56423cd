// Preloaded into the servers: connections to 127.0.0.1 come from $STEEPLE_SOURCE_ADDRESS.
//
// All replicas live on one loopback interface. With an address of its own as the source, a relay can tell who calls.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

typedef int (*connect_call)(int, const struct sockaddr *, socklen_t);

static void bind_source(int fd, const struct sockaddr *to) {
    const char *text = getenv("STEEPLE_SOURCE_ADDRESS");
    const struct sockaddr_in *target = (const struct sockaddr_in *)to;
    struct sockaddr_in source = {.sin_family = AF_INET};
    int type = 0, yes = 1;
    socklen_t length = sizeof type;
    if (text == NULL || to->sa_family != AF_INET || target->sin_addr.s_addr != htonl(INADDR_LOOPBACK)) return;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return;
    if (inet_pton(AF_INET, text, &source.sin_addr) != 1) return;
    // The port is chosen when the connection is made. A socket that is bound already keeps its address.
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    int bound = bind(fd, (const struct sockaddr *)&source, sizeof source);
    (void)bound;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    connect_call call = (connect_call)dlsym(RTLD_NEXT, "connect");
    if (to != NULL && length >= sizeof(struct sockaddr_in)) bind_source(fd, to);
    return call(fd, to, length);
}
