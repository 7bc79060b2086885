/* An echo's client on bare streams: says something to a server with ALPN "qchat", prints what comes
 * back, and ends well if that is the same.
 *
 *   client [--ca FILE] [--bytes N | --msg TEXT] HOST PORT
 *
 * Without --ca any certificate is believed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

struct client {
    int fd;
    struct address local;
    pq_conn *conn;
    ev_timer timer;
    ev_io readable, writable;
    int64_t stream;
    uint8_t *message;
    size_t len, sent, received;
    int is_echo, is_done;
};

/* Writes as much of the message as there is room for. */
static void write_message(struct client *client) {
    while (client->sent < client->len) {
        ptrdiff_t taken = pq_stream_send(client->conn, (uint64_t)client->stream,
                                         client->message + client->sent,
                                         client->len - client->sent, true, NULL);
        if (taken == PQ_ERR_DONE) return;
        if (taken < 0) die("pq_stream_send");
        client->sent += (size_t)taken;
    }
}

static void read_echo(struct client *client) {
    uint8_t buffer[16384];
    bool fin = false;
    while (!fin) {
        ptrdiff_t len = pq_stream_recv(client->conn, (uint64_t)client->stream, buffer,
                                       sizeof buffer, &fin, NULL);
        if (len == PQ_ERR_DONE) return;
        if (len < 0) die("pq_stream_recv");
        if (client->received + (size_t)len > client->len ||
            memcmp(client->message + client->received, buffer, (size_t)len) != 0) {
            client->is_echo = 0;
        }
        client->received += (size_t)len;
        if (client->len <= 1000) fwrite(buffer, 1, (size_t)len, stdout);
    }
    client->is_done = client->received == client->len;
    if (pq_conn_close(client->conn, 0, "thank you", 9) < 0) die("pq_conn_close");
}

/* Looks at what has come, and writes what there is to say. */
static void turn(struct ev_loop *loop, struct client *client) {
    pq_event event;
    while (pq_conn_poll(client->conn, &event) == PQ_OK) {
        if (event.kind == PQ_EVENT_ESTABLISHED) {
            client->stream = pq_stream_open(client->conn, true);
            if (client->stream < 0) die("pq_stream_open");
        } else if (event.kind == PQ_EVENT_CLOSED) {
            char why[200];
            pq_close_info info;
            if (pq_conn_close_info(client->conn, &info, why, sizeof why) < 0) die("close_info");
            fprintf(stderr, "closed: %s\n", why);
        }
    }
    if (client->stream >= 0 && pq_conn_is_established(client->conn) == 1) {
        write_message(client);
        read_echo(client);
    }
    write_conn(client->fd, client->conn, loop, &client->timer, &client->writable);
    if (pq_conn_is_closed(client->conn)) ev_break(loop, EVBREAK_ALL);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
    struct client *client = watcher->data;
    if (events & EV_READ) read_conn(client->fd, &client->local, client->conn);
    turn(loop, client);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct client *client = watcher->data;
    (void)events;
    if (pq_conn_on_timeout(client->conn, pq_now()) < 0) die("pq_conn_on_timeout");
    turn(loop, client);
}

int main(int argc, char **argv) {
    struct ev_loop *loop = EV_DEFAULT;
    struct client client;
    struct address server;
    const char *authorities = NULL, *text = "hello over quic\n";
    size_t bytes = 0;
    int at = 1;
    memset(&client, 0, sizeof client);
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--ca") == 0) authorities = argv[at + 1];
        else if (strcmp(argv[at], "--msg") == 0) text = argv[at + 1];
        else if (strcmp(argv[at], "--bytes") == 0) bytes = strtoul(argv[at + 1], NULL, 10);
        else break;
    }
    if (argc - at != 2) {
        fprintf(stderr, "usage: %s [--ca FILE] [--bytes N | --msg TEXT] HOST PORT\n", argv[0]);
        return 2;
    }
    client.len = bytes ? bytes : strlen(text);
    client.message = malloc(client.len + 1);
    if (!client.message) die("malloc");
    for (size_t i = 0; i < client.len; i++) {
        client.message[i] = bytes ? (uint8_t)(i * 31 % 251) : (uint8_t)text[i];
    }
    client.stream = -1;
    client.is_echo = 1;

    pq_config *config = pq_config_new((const uint8_t *)"\x05qchat", 6);
    if (!config) die("pq_config_new");
    if (authorities) {
        if (pq_config_set_authorities_file(config, authorities) < 0) die("--ca");
    } else {
        pq_config_verify_peer(config, false);
    }
    server = resolve(argv[at], argv[at + 1]);
    client.fd = open_socket(NULL, &server, &client.local);
    errno = 0;
    client.conn = pq_connect(config, argv[at], NULL, 0, (struct sockaddr *)&server.storage,
                             server.len, pq_now());
    if (!client.conn) die("pq_connect");
    pq_config_free(config);

    client.timer.data = client.readable.data = client.writable.data = &client;
    ev_init(&client.timer, on_timer);
    ev_io_init(&client.readable, on_socket, client.fd, EV_READ);
    ev_io_init(&client.writable, on_socket, client.fd, EV_WRITE);
    client.timer.data = client.readable.data = client.writable.data = &client;
    ev_io_start(loop, &client.readable);
    turn(loop, &client);
    ev_run(loop, 0);

    if (client.is_done && client.is_echo) {
        fprintf(stderr, "%zu bytes came back as they went\n", client.received);
    }
    pq_conn_free(client.conn);
    free(client.message);
    close(client.fd);
    ev_loop_destroy(loop);
    return client.is_done && client.is_echo ? 0 : 1;
}
