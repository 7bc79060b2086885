/* Fetches a URL over HTTP/3: the body goes to standard output, all else to standard error.
 *
 *   http3-client [--ca FILE] [--post TEXT] https://HOST[:PORT]/PATH
 *
 * Without --ca any certificate is believed. */
#include <string.h>

#include "net.h"

struct client {
    struct endpoint endpoint;
    const char *host, *authority, *path, *body;
    size_t sent;
    int64_t request;
    int is_done;
};

static void send_body(struct client *client) {
    size_t len = client->body ? strlen(client->body) : 0;
    while (client->sent < len) {
        ptrdiff_t taken = pq_h3_send_body(client->endpoint.conn, (uint64_t)client->request,
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
    client->request = pq_h3_send_request(client->endpoint.conn, headers, 5, client->body == NULL);
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
        while ((len = pq_h3_recv_body(client->endpoint.conn, event->id, buffer, sizeof buffer)) >= 0) {
            fwrite(buffer, 1, (size_t)len, stdout);
        }
        break;
    case PQ_H3_FINISHED:
        client->is_done = 1;
        pq_conn_close(client->endpoint.conn, 0x100, NULL, 0); /* H3_NO_ERROR */
        break;
    case PQ_H3_WRITABLE:
        send_body(client);
        break;
    case PQ_H3_FAILED:
        fprintf(stderr, "failed with code %#llx\n", (unsigned long long)event->code);
        pq_conn_close(client->endpoint.conn, 0x100, NULL, 0);
        break;
    case PQ_H3_REQUEST:
        break; /* never on a client */
    }
}

static void look(struct endpoint *endpoint) {
    pq_h3_event event;
    while (pq_h3_poll(endpoint->conn, &event) == PQ_OK) {
        on_event((struct client *)endpoint, &event);
    }
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
    struct client client;
    struct address server;
    pq_config *config;
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
    config = client_config("\x02h3", authorities);
    server = resolve(client.host, port);
    client.endpoint.look = look;
    client.endpoint.fd = open_socket(NULL, &server, &client.endpoint.local);
    client.endpoint.conn = pq_h3_connect(config, client.host, NULL, 0,
                                         (struct sockaddr *)&server.storage, server.len, pq_now());
    if (!client.endpoint.conn) die("pq_h3_connect");
    pq_config_free(config);
    ask(&client); /* it goes out as soon as the handshake allows */
    run_client(&client.endpoint);

    if (!client.is_done) {
        char why[200];
        pq_close_info info;
        if (pq_conn_close_info(client.endpoint.conn, &info, why, sizeof why) >= 0) {
            fprintf(stderr, "no response: %s\n", why);
        }
    }
    pq_conn_free(client.endpoint.conn);
    return client.is_done ? 0 : 1;
}
