/* An echo on bare streams: sends back what comes on every stream, with ALPN "qchat", until it is
 * interrupted.
 *
 *   server HOST PORT CERTIFICATE KEY */
#include <string.h>

#include "net.h"

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

static void look(struct endpoint *server) {
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
}

int main(int argc, char **argv) {
    struct endpoint server;
    pq_config *config;
    if (argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT CERTIFICATE KEY\n", argv[0]);
        return 2;
    }
    memset(&server, 0, sizeof server);
    config = server_config("\x05qchat", argv[3], argv[4]);
    server.look = look;
    server.listener = pq_listen(config);
    if (!server.listener) die("pq_listen");
    pq_config_free(config);
    run_server(&server, argv[1], argv[2]);
    return 0;
}
