/* Fetches a URL over HTTP/3: the body goes to standard output, all else to standard error.
 *
 *   http3-client [--ca FILE] [--post TEXT] https://HOST[:PORT]/PATH
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
    const char *host, *authority, *path, *body;
    size_t sent;
    int64_t request;
    int is_done;
};

static pq_header header(const char *name, const char *value) {
    pq_header made = {name, strlen(name), value, strlen(value)};
    return made;
}

static void send_body(struct client *client) {
    size_t len = client->body ? strlen(client->body) : 0;
    while (client->sent < len) {
        ptrdiff_t taken = pq_h3_send_body(client->conn, (uint64_t)client->request,
                                          (const uint8_t *)client->body + client->sent,
                                          len - client->sent, true);
        if (taken == PQ_ERR_DONE) return; /* PQ_H3_WRITABLE tells when to go on */
        if (taken < 0) die("pq_h3_send_body");
        client->sent += (size_t)taken;
    }
}

static void ask(struct client *client) {
    pq_header headers[5];
    headers[0] = header(":method", client->body ? "POST" : "GET");
    headers[1] = header(":scheme", "https");
    headers[2] = header(":authority", client->authority);
    headers[3] = header(":path", client->path);
    headers[4] = header("user-agent", "protoquic-c");
    client->request = pq_h3_send_request(client->conn, headers, 5, client->body == NULL);
    if (client->request < 0) die("pq_h3_send_request");
    send_body(client);
}

static void on_event(struct client *client, const pq_h3_event *event) {
    uint8_t buffer[16384];
    ptrdiff_t len;
    switch (event->kind) {
    case PQ_H3_INTERIM:
    case PQ_H3_RESPONSE:
        for (size_t i = 0; i < event->headers_len; i++) {
            const pq_header *field = &event->headers[i];
            fprintf(stderr, "%.*s: %.*s\n", (int)field->name_len, field->name,
                    (int)field->value_len, field->value);
        }
        break;
    case PQ_H3_DATA:
        while ((len = pq_h3_recv_body(client->conn, event->id, buffer, sizeof buffer)) >= 0) {
            fwrite(buffer, 1, (size_t)len, stdout);
        }
        break;
    case PQ_H3_FINISHED:
        client->is_done = 1;
        pq_conn_close(client->conn, 0x100, NULL, 0); /* H3_NO_ERROR */
        break;
    case PQ_H3_WRITABLE:
        send_body(client);
        break;
    case PQ_H3_FAILED:
        fprintf(stderr, "failed with code %#llx\n", (unsigned long long)event->code);
        pq_conn_close(client->conn, 0x100, NULL, 0);
        break;
    case PQ_H3_REQUEST:
        break; /* never on a client */
    }
}

static void turn(struct ev_loop *loop, struct client *client) {
    pq_h3_event event;
    while (pq_h3_poll(client->conn, &event) == PQ_OK) on_event(client, &event);
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

/* Splits https://HOST[:PORT]/PATH. Returns the port. */
static const char *split(const char *url, struct client *client) {
    static char authority[300], host[300];
    const char *start = strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
    const char *slash;
    char *colon;
    size_t len;
    if (!start) return NULL;
    slash = strchr(start, '/');
    len = slash ? (size_t)(slash - start) : strlen(start);
    if (len == 0 || len >= sizeof authority) return NULL;
    memcpy(authority, start, len);
    memcpy(host, authority, sizeof host);
    client->authority = authority;
    client->host = host;
    client->path = slash ? slash : "/";
    colon = strrchr(host, ':');
    if (!colon) return "443";
    *colon = 0;
    return colon + 1;
}

int main(int argc, char **argv) {
    struct ev_loop *loop = EV_DEFAULT;
    struct client client;
    struct address server;
    const char *authorities = NULL, *port = NULL;
    int at = 1;
    memset(&client, 0, sizeof client);
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--ca") == 0) authorities = argv[at + 1];
        else if (strcmp(argv[at], "--post") == 0) client.body = argv[at + 1];
        else break;
    }
    if (argc - at == 1) port = split(argv[at], &client);
    if (!port || (client.body && !*client.body)) {
        fprintf(stderr, "usage: %s [--ca FILE] [--post TEXT] https://HOST[:PORT]/PATH\n", argv[0]);
        return 2;
    }
    pq_config *config = pq_config_new((const uint8_t *)"\x02h3", 3);
    if (!config) die("pq_config_new");
    if (authorities) {
        if (pq_config_set_authorities_file(config, authorities) < 0) die("--ca");
    } else {
        pq_config_verify_peer(config, false);
    }
    server = resolve(client.host, port);
    client.fd = open_socket(NULL, &server, &client.local);
    errno = 0;
    client.conn = pq_h3_connect(config, client.host, NULL, 0, (struct sockaddr *)&server.storage,
                                server.len, pq_now());
    if (!client.conn) die("pq_h3_connect");
    pq_config_free(config);
    ask(&client); /* it goes out as soon as the handshake allows */

    ev_init(&client.timer, on_timer);
    ev_io_init(&client.readable, on_socket, client.fd, EV_READ);
    ev_io_init(&client.writable, on_socket, client.fd, EV_WRITE);
    client.timer.data = client.readable.data = client.writable.data = &client;
    ev_io_start(loop, &client.readable);
    turn(loop, &client);
    ev_run(loop, 0);

    if (!client.is_done) {
        char why[200];
        pq_close_info info;
        if (pq_conn_close_info(client.conn, &info, why, sizeof why) >= 0) {
            fprintf(stderr, "no response: %s\n", why);
        }
    }
    pq_conn_free(client.conn);
    close(client.fd);
    ev_loop_destroy(loop);
    return client.is_done ? 0 : 1;
}
