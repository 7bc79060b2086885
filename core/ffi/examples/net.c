/* What the examples share, see net.h. A datagram is a system call here; perf_client.c shows how to
 * move many in one. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
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
    errno = 0; /* what fails from here on says so with protoquic's words */
    return fd;
}

static pq_config *new_config(const char *alpn) {
    pq_config *config = pq_config_new((const uint8_t *)alpn, strlen(alpn));
    errno = 0; /* what fails says so with protoquic's words */
    if (!config) die("pq_config_new");
    return config;
}

pq_config *client_config(const char *alpn, const char *authorities) {
    pq_config *config = new_config(alpn);
    if (authorities) {
        if (pq_config_set_authorities_file(config, authorities) < 0) die("--ca");
    } else {
        pq_config_verify_peer(config, false);
    }
    return config;
}

pq_config *server_config(const char *alpn, const char *certificate, const char *key) {
    pq_config *config = new_config(alpn);
    if (pq_config_set_identity_files(config, certificate, key) < 0) die("the certificate");
    errno = 0;
    return config;
}

/* Gives everything that waits in the socket to the connection or to the listener. */
static void receive(struct endpoint *endpoint) {
    static uint8_t buffer[BUFFER];
    struct address from;
    pq_recv_info info;
    int left = READ_BUDGET; /* so that timers are not starved */
    while (left-- > 0) {
        ssize_t len;
        int result;
        from.len = sizeof from.storage;
        len = recvfrom(endpoint->fd, buffer, BUFFER, 0, (struct sockaddr *)&from.storage,
                       &from.len);
        if (len < 0) return;
        memset(&info, 0, sizeof info);
        info.from = (const struct sockaddr *)&from.storage;
        info.from_len = from.len;
        info.to = (const struct sockaddr *)&endpoint->local.storage;
        info.to_len = endpoint->local.len;
        info.now = pq_now();
        result = endpoint->conn
                     ? pq_conn_recv(endpoint->conn, buffer, (size_t)len, &info)
                     : pq_listener_recv(endpoint->listener, buffer, (size_t)len, &info);
        if (result < 0) die("recv");
    }
}

/* Takes the next datagram that is to be sent. Returns whether there is one. */
static int next_datagram(struct endpoint *endpoint) {
    ptrdiff_t len =
        endpoint->conn
            ? pq_conn_send(endpoint->conn, kept, sizeof kept, &kept_info, pq_now())
            : pq_listener_send(endpoint->listener, kept, sizeof kept, &kept_info, pq_now());
    if (len == PQ_ERR_DONE) return 0;
    if (len < 0) die("send");
    kept_len = (size_t)len;
    return 1;
}

/* Sends the kept datagram. Returns whether the socket took it. */
static int send_kept(int fd) {
    const struct sockaddr *to = (const struct sockaddr *)&kept_info.path.peer;
    ssize_t sent = sendto(fd, kept, kept_len, 0, to, kept_info.path.peer_len);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) return 0;
    kept_len = 0; /* any other error loses one datagram, which QUIC can bear */
    return 1;
}

static void set_timer(struct ev_loop *loop, struct endpoint *endpoint) {
    int64_t timeout = endpoint->conn ? pq_conn_timeout(endpoint->conn, pq_now())
                                     : pq_listener_timeout(endpoint->listener, pq_now());
    if (timeout == PQ_FOREVER) {
        ev_timer_stop(loop, &endpoint->timer);
    } else {
        ev_now_update(loop);
        endpoint->timer.repeat = timeout > 0 ? (double)timeout / 1e9 : 1e-6;
        ev_timer_again(loop, &endpoint->timer);
    }
}

/* Gives everything there is to send to the socket, and sets the timer. */
static void transmit(struct ev_loop *loop, struct endpoint *endpoint) {
    ev_io_stop(loop, &endpoint->writable);
    while (kept_len > 0 || next_datagram(endpoint)) {
        if (!send_kept(endpoint->fd)) {
            ev_io_start(loop, &endpoint->writable);
            break;
        }
    }
    set_timer(loop, endpoint);
}

static void turn(struct ev_loop *loop, struct endpoint *endpoint) {
    endpoint->look(endpoint);
    fflush(stdout);
    transmit(loop, endpoint);
    if (endpoint->conn && pq_conn_is_closed(endpoint->conn)) ev_break(loop, EVBREAK_ALL);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
    if (events & EV_READ) receive(watcher->data);
    turn(loop, watcher->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct endpoint *endpoint = watcher->data;
    int result = endpoint->conn ? pq_conn_on_timeout(endpoint->conn, pq_now())
                                : pq_listener_on_timeout(endpoint->listener, pq_now());
    (void)events;
    if (result < 0) die("on_timeout");
    turn(loop, endpoint);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct endpoint *endpoint = watcher->data;
    (void)events;
    pq_listener_close_all(endpoint->listener, endpoint->close_code, "goodbye", 7, pq_now());
    turn(loop, endpoint);
    turn(loop, endpoint); /* hands out the last news, so that every handle is freed */
    ev_break(loop, EVBREAK_ALL);
}

static void run(struct ev_loop *loop, struct endpoint *endpoint) {
    ev_init(&endpoint->timer, on_timer);
    ev_io_init(&endpoint->readable, on_socket, endpoint->fd, EV_READ);
    ev_io_init(&endpoint->writable, on_socket, endpoint->fd, EV_WRITE);
    endpoint->timer.data = endpoint->readable.data = endpoint->writable.data = endpoint;
    ev_io_start(loop, &endpoint->readable);
    turn(loop, endpoint);
    ev_run(loop, 0);
    close(endpoint->fd);
    ev_loop_destroy(loop);
}

void run_client(struct endpoint *endpoint) { run(EV_DEFAULT, endpoint); }

void run_server(struct endpoint *endpoint, const char *host, const char *port) {
    struct ev_loop *loop = EV_DEFAULT;
    struct address local = resolve(host, port);
    endpoint->fd = open_socket(&local, NULL, &endpoint->local);
    ev_signal_init(&endpoint->interrupt, on_signal, SIGINT);
    ev_signal_init(&endpoint->terminate, on_signal, SIGTERM);
    endpoint->interrupt.data = endpoint->terminate.data = endpoint;
    ev_signal_start(loop, &endpoint->interrupt);
    ev_signal_start(loop, &endpoint->terminate);
    printf("listening on %s:%s\n", host, port);
    fflush(stdout);
    run(loop, endpoint);
    pq_listener_free(endpoint->listener);
}

pq_header header(const char *name, const char *value) {
    pq_header made = {name, strlen(name), value, strlen(value)};
    return made;
}
