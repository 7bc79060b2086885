/* An echo's client on bare streams: says something to a server with ALPN "qchat", prints what comes
 * back, and ends well if that is the same.
 *
 *   client [--ca FILE] [--bytes N | --msg TEXT] HOST PORT
 *
 * Without --ca any certificate is believed. */
#include <stdlib.h>
#include <string.h>

#include "net.h"

struct client {
    struct endpoint endpoint;
    int64_t stream;
    uint8_t *message;
    size_t len, sent, received;
    int is_echo, is_done;
};

/* Writes as much of the message as there is room for. */
static void write_message(struct client *client) {
    while (client->sent < client->len) {
        ptrdiff_t taken = pq_stream_send(client->endpoint.conn, (uint64_t)client->stream,
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
        ptrdiff_t len = pq_stream_recv(client->endpoint.conn, (uint64_t)client->stream, buffer,
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
    if (pq_conn_close(client->endpoint.conn, 0, "thank you", 9) < 0) die("pq_conn_close");
}

static void look(struct endpoint *endpoint) {
    struct client *client = (struct client *)endpoint;
    pq_event event;
    while (pq_conn_poll(endpoint->conn, &event) == PQ_OK) {
        if (event.kind == PQ_EVENT_ESTABLISHED) {
            client->stream = pq_stream_open(endpoint->conn, true);
            if (client->stream < 0) die("pq_stream_open");
        } else if (event.kind == PQ_EVENT_CLOSED) {
            char why[200];
            pq_close_info info;
            if (pq_conn_close_info(endpoint->conn, &info, why, sizeof why) < 0) die("close_info");
            fprintf(stderr, "closed: %s\n", why);
        }
    }
    if (client->stream >= 0 && pq_conn_is_established(endpoint->conn) == 1) {
        write_message(client);
        read_echo(client);
    }
}

int main(int argc, char **argv) {
    struct client client;
    struct address server;
    pq_config *config;
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

    config = client_config("\x05qchat", authorities);
    server = resolve(argv[at], argv[at + 1]);
    client.endpoint.look = look;
    client.endpoint.fd = open_socket(NULL, &server, &client.endpoint.local);
    client.endpoint.conn = pq_connect(config, argv[at], NULL, 0,
                                      (struct sockaddr *)&server.storage, server.len, pq_now());
    if (!client.endpoint.conn) die("pq_connect");
    pq_config_free(config);
    run_client(&client.endpoint);

    if (client.is_done && client.is_echo) {
        fprintf(stderr, "%zu bytes came back as they went\n", client.received);
    }
    pq_conn_free(client.endpoint.conn);
    free(client.message);
    return client.is_done && client.is_echo ? 0 : 1;
}
