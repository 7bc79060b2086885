/* An echo on bare streams: sends back what comes on every stream, with ALPN "qchat", until it is
 * interrupted.
 *
 *   server HOST PORT CERTIFICATE KEY */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

struct server {
    int fd;
    struct address local;
    pq_listener *listener;
    ev_timer timer;
    ev_io readable, writable;
    ev_signal interrupt, terminate;
};

/* Takes no more from a stream than there is room to send back, so nothing has to be kept. */
static void echo(pq_conn *conn, uint64_t id) {
    static uint8_t buffer[65536];
    for (;;) {
        bool fin = false;
        ptrdiff_t room = pq_stream_capacity(conn, id);
        size_t max = room > 0 && (size_t)room < sizeof buffer ? (size_t)room : sizeof buffer;
        ptrdiff_t len;
        if (room == 0) return; /* the stream will be among the writable ones */
        len = pq_stream_recv(conn, id, buffer, max, &fin, NULL);
        if (len == PQ_ERR_DONE) return;
        if (len < 0) { /* the client gave it up: so do we */
            pq_stream_reset(conn, id, 0);
            return;
        }
        if (room < 0) continue; /* a stream of one direction, or one that is stopped: read only */
        if (pq_stream_send(conn, id, buffer, (size_t)len, fin, NULL) < 0) return;
        if (fin) return;
    }
}

static void serve(pq_conn *conn) {
    pq_event event;
    int64_t id = -1;
    uint64_t after = PQ_NO_STREAM;
    while (pq_conn_poll(conn, &event) == PQ_OK) {
        if (event.kind == PQ_EVENT_STREAM_OPENED) {
            printf("new stream %llu\n", (unsigned long long)event.stream);
        }
    }
    while ((id = pq_conn_next_readable(conn, after)) >= 0) {
        after = (uint64_t)id;
        echo(conn, after);
    }
}

static void turn(struct ev_loop *loop, struct server *server) {
    pq_listener_event event;
    while (pq_listener_poll(server->listener, &event, pq_now()) == PQ_OK) {
        char why[200];
        switch (event.kind) {
        case PQ_LISTENER_ACCEPTED:
            printf("connection accepted\n");
            break;
        case PQ_LISTENER_READY:
            serve(event.conn);
            break;
        case PQ_LISTENER_CLOSED:
            pq_conn_close_info(event.conn, &event.close, why, sizeof why);
            printf("connection closed: %s\n", why);
            pq_conn_free(event.conn);
            break;
        }
    }
    fflush(stdout);
    write_listener(server->fd, server->listener, loop, &server->timer, &server->writable);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
    struct server *server = watcher->data;
    if (events & EV_READ) read_listener(server->fd, &server->local, server->listener);
    turn(loop, server);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct server *server = watcher->data;
    (void)events;
    if (pq_listener_on_timeout(server->listener, pq_now()) < 0) die("pq_listener_on_timeout");
    turn(loop, server);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct server *server = watcher->data;
    (void)events;
    pq_listener_close_all(server->listener, 0, "goodbye", 7, pq_now());
    turn(loop, server);
    turn(loop, server); /* hands out the last news, so that every handle is freed */
    ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv) {
    struct ev_loop *loop = EV_DEFAULT;
    struct server server;
    struct address local;
    if (argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT CERTIFICATE KEY\n", argv[0]);
        return 2;
    }
    memset(&server, 0, sizeof server);
    pq_config *config = pq_config_new((const uint8_t *)"\x05qchat", 6);
    errno = 0;
    if (!config) die("pq_config_new");
    if (pq_config_set_identity_files(config, argv[3], argv[4]) < 0) die("the certificate");
    server.listener = pq_listen(config);
    if (!server.listener) die("pq_listen");
    pq_config_free(config);

    local = resolve(argv[1], argv[2]);
    server.fd = open_socket(&local, NULL, &server.local);
    ev_init(&server.timer, on_timer);
    ev_io_init(&server.readable, on_socket, server.fd, EV_READ);
    ev_io_init(&server.writable, on_socket, server.fd, EV_WRITE);
    ev_signal_init(&server.interrupt, on_signal, SIGINT);
    ev_signal_init(&server.terminate, on_signal, SIGTERM);
    server.timer.data = server.readable.data = server.writable.data = &server;
    server.interrupt.data = server.terminate.data = &server;
    ev_io_start(loop, &server.readable);
    ev_signal_start(loop, &server.interrupt);
    ev_signal_start(loop, &server.terminate);
    printf("listening on %s:%s\n", argv[1], argv[2]);
    fflush(stdout);
    turn(loop, &server);
    ev_run(loop, 0);

    pq_listener_free(server.listener);
    close(server.fd);
    ev_loop_destroy(loop);
    return 0;
}
