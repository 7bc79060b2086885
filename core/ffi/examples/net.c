/* What the examples share, see net.h. A datagram is a system call here; perf_client.c shows how to
 * move many in one. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 65536, READ_BUDGET = 1000 };

/* The datagram that the socket had no room for. */
static uint8_t kept[BUFFER];
static size_t kept_len;
static pq_send_info kept_info;

void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : pq_last_error());
    exit(1);
}

struct address resolve(const char *host, const char *port) {
    struct addrinfo hints, *found = NULL;
    struct address address;
    int error;
    memset(&hints, 0, sizeof hints);
    memset(&address, 0, sizeof address);
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = AI_PASSIVE;
    error = getaddrinfo(host, port, &hints, &found);
    if (error) {
        fprintf(stderr, "%s: %s\n", host ? host : port, gai_strerror(error));
        exit(1);
    }
    memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.len = found->ai_addrlen;
    freeaddrinfo(found);
    return address;
}

int open_socket(const struct address *local, const struct address *peer, struct address *bound) {
    struct address any;
    int fd, size = 2 << 20;
    memset(&any, 0, sizeof any);
    if (!local) { /* the unspecified address and port of the peer's family */
        any.storage.ss_family = peer->storage.ss_family;
        any.len = peer->len;
        local = &any;
    }
    fd = socket(local->storage.ss_family, SOCK_DGRAM, 0);
    if (fd < 0) die("socket");
    if (bind(fd, (const struct sockaddr *)&local->storage, local->len) < 0) die("bind");
    /* Only a wish: the system may allow less. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) die("fcntl");
    memset(bound, 0, sizeof *bound);
    bound->len = sizeof bound->storage;
    if (getsockname(fd, (struct sockaddr *)&bound->storage, &bound->len) < 0) die("getsockname");
    return fd;
}

/* Reads one datagram. Returns its length, or less than 0 if there is none. */
static ssize_t read_one(int fd, const struct address *local, uint8_t *buffer, struct address *from,
                        pq_recv_info *info) {
    ssize_t len;
    from->len = sizeof from->storage;
    len = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&from->storage, &from->len);
    memset(info, 0, sizeof *info);
    info->from = (const struct sockaddr *)&from->storage;
    info->from_len = from->len;
    info->to = (const struct sockaddr *)&local->storage;
    info->to_len = local->len;
    info->now = pq_now();
    return len;
}

void read_conn(int fd, const struct address *local, pq_conn *conn) {
    static uint8_t buffer[BUFFER];
    struct address from;
    pq_recv_info info;
    int left = READ_BUDGET; /* so that timers are not starved */
    while (left-- > 0) {
        ssize_t len = read_one(fd, local, buffer, &from, &info);
        if (len < 0) return;
        if (pq_conn_recv(conn, buffer, (size_t)len, &info) < 0) die("pq_conn_recv");
    }
}

void read_listener(int fd, const struct address *local, pq_listener *listener) {
    static uint8_t buffer[BUFFER];
    struct address from;
    pq_recv_info info;
    int left = READ_BUDGET;
    while (left-- > 0) {
        ssize_t len = read_one(fd, local, buffer, &from, &info);
        if (len < 0) return;
        if (pq_listener_recv(listener, buffer, (size_t)len, &info) < 0) die("pq_listener_recv");
    }
}

/* Sends the kept datagram. Returns whether the socket took it. */
static int send_kept(int fd) {
    const struct sockaddr *to = (const struct sockaddr *)&kept_info.path.peer;
    ssize_t sent = sendto(fd, kept, kept_len, 0, to, kept_info.path.peer_len);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) return 0;
    kept_len = 0; /* any other error loses one datagram, which QUIC can bear */
    return 1;
}

static void set_timer(struct ev_loop *loop, ev_timer *timer, int64_t timeout) {
    if (timeout == PQ_FOREVER) {
        ev_timer_stop(loop, timer);
    } else {
        ev_now_update(loop);
        timer->repeat = timeout > 0 ? (double)timeout / 1e9 : 1e-6;
        ev_timer_again(loop, timer);
    }
}

void write_conn(int fd, pq_conn *conn, struct ev_loop *loop, ev_timer *timer, ev_io *writable) {
    for (;;) {
        if (kept_len > 0 && !send_kept(fd)) {
            ev_io_start(loop, writable);
            break;
        }
        ptrdiff_t len = pq_conn_send(conn, kept, sizeof kept, &kept_info, pq_now());
        if (len == PQ_ERR_DONE) {
            ev_io_stop(loop, writable);
            break;
        }
        if (len < 0) die("pq_conn_send");
        kept_len = (size_t)len;
    }
    set_timer(loop, timer, pq_conn_timeout(conn, pq_now()));
}

void write_listener(int fd, pq_listener *listener, struct ev_loop *loop, ev_timer *timer,
                    ev_io *writable) {
    for (;;) {
        if (kept_len > 0 && !send_kept(fd)) {
            ev_io_start(loop, writable);
            break;
        }
        ptrdiff_t len = pq_listener_send(listener, kept, sizeof kept, &kept_info, pq_now());
        if (len == PQ_ERR_DONE) {
            ev_io_stop(loop, writable);
            break;
        }
        if (len < 0) die("pq_listener_send");
        kept_len = (size_t)len;
    }
    set_timer(loop, timer, pq_listener_timeout(listener, pq_now()));
}
