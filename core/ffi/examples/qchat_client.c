/* Says something to an echo on the callback layer, with ALPN "qchat", and prints what comes back. The
 * library's thread calls back; this one waits, 3 seconds at most.
 *
 *   qchat_client [--host HOST] [--port PORT] [--msg TEXT] [--ca FILE]
 *
 * Without --ca any certificate is believed. */
#include <errno.h>
#include <netdb.h>
#include <protoquic.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct chat {
    pthread_mutex_t lock;
    pthread_cond_t news;
    int is_connected, is_answered, is_closed;
    size_t expected, received;
};

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, pq_last_error());
    exit(1);
}

static void tell(struct chat *chat, int *what) {
    pthread_mutex_lock(&chat->lock);
    *what = 1;
    pthread_cond_broadcast(&chat->news);
    pthread_mutex_unlock(&chat->lock);
}

/* Waits for one of two things. Returns whether either has come in time. */
static int await(struct chat *chat, const int *what, const int *other, int seconds) {
    struct timespec until;
    int has_come;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&chat->lock);
    while (!*what && !*other) {
        if (pthread_cond_timedwait(&chat->news, &chat->lock, &until) == ETIMEDOUT) break;
    }
    has_come = *what || *other;
    pthread_mutex_unlock(&chat->lock);
    return has_come;
}

static void on_stream(pq_handle stream, void *context, pq_cb_stream_event *event) {
    struct chat *chat = context;
    (void)stream;
    switch (event->kind) {
    case PQ_CB_RECEIVE:
        fwrite(event->data, 1, event->len, stdout);
        chat->received += event->len;
        if (chat->received >= chat->expected) tell(chat, &chat->is_answered);
        break;
    case PQ_CB_START_COMPLETE:
        fprintf(stderr, "stream %llu is open\n", (unsigned long long)event->id);
        break;
    case PQ_CB_SEND_COMPLETE:
        fprintf(stderr, "the message is %s\n", event->canceled ? "dropped" : "on its way");
        break;
    case PQ_CB_PEER_SEND_ABORTED:
    case PQ_CB_PEER_RECEIVE_ABORTED:
        fprintf(stderr, "the server gave up with %#llx\n", (unsigned long long)event->code);
        break;
    case PQ_CB_PEER_SEND_SHUTDOWN:
    case PQ_CB_SEND_SHUTDOWN_COMPLETE:
    case PQ_CB_STREAM_SHUTDOWN_COMPLETE:
        break;
    }
}

static void on_conn(pq_handle conn, void *context, pq_cb_conn_event *event) {
    struct chat *chat = context;
    (void)conn;
    switch (event->kind) {
    case PQ_CB_CONNECTED:
        fprintf(stderr, "connected\n");
        tell(chat, &chat->is_connected);
        break;
    case PQ_CB_SHUTDOWN_BY_PEER:
    case PQ_CB_SHUTDOWN_BY_TRANSPORT:
        fprintf(stderr, "shutting down, code %#llx\n", (unsigned long long)event->code);
        break;
    case PQ_CB_CONN_SHUTDOWN_COMPLETE:
        fprintf(stderr, "closed\n");
        tell(chat, &chat->is_closed);
        break;
    case PQ_CB_PEER_STREAM_STARTED: /* without a callback it is refused */
    case PQ_CB_DATAGRAM:
        break;
    }
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "4443", *message = "hello over quic\n";
    const char *authorities = NULL;
    struct chat chat;
    struct addrinfo hints, *found = NULL;
    pq_handle registration, conn, stream;
    for (int at = 1; at < argc; at += 2) {
        const char *value = at + 1 < argc ? argv[at + 1] : NULL;
        if (value && strcmp(argv[at], "--host") == 0) host = value;
        else if (value && strcmp(argv[at], "--port") == 0) port = value;
        else if (value && strcmp(argv[at], "--msg") == 0) message = value;
        else if (value && strcmp(argv[at], "--ca") == 0) authorities = value;
        else {
            fprintf(stderr, "usage: %s [--host HOST] [--port PORT] [--msg TEXT] [--ca FILE]\n",
                    argv[0]);
            return 2;
        }
    }
    memset(&chat, 0, sizeof chat);
    pthread_mutex_init(&chat.lock, NULL);
    pthread_cond_init(&chat.news, NULL);
    chat.expected = strlen(message);

    pq_config *config = pq_config_new((const uint8_t *)"\x05qchat", 6);
    if (!config) die("pq_config_new");
    if (!authorities) pq_config_verify_peer(config, false);
    else if (pq_config_set_authorities_file(config, authorities) < 0) die("--ca");
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(host, port, &hints, &found) != 0) die("--host");
    if (pq_cb_open(&registration) < 0) die("pq_cb_open");
    if (pq_cb_connect(registration, config, host, found->ai_addr, found->ai_addrlen, on_conn, &chat,
                      &conn) < 0) {
        die("pq_cb_connect");
    }
    freeaddrinfo(found);
    pq_config_free(config);

    /* A stream may be asked for at once: it opens when the handshake is done. */
    if (pq_cb_stream_start(conn, true, on_stream, &chat, &stream) < 0) die("pq_cb_stream_start");
    if (pq_cb_stream_send(stream, (const uint8_t *)message, chat.expected, true, NULL) < 0) {
        die("pq_cb_stream_send");
    }
    if (await(&chat, &chat.is_connected, &chat.is_closed, 10) && chat.is_connected) {
        await(&chat, &chat.is_answered, &chat.is_closed, 3);
    }
    pq_cb_conn_close(conn, 0); /* PQ_ERR_BAD_HANDLE if it is over already, which is as well */
    if (pq_cb_close(registration) < 0) die("pq_cb_close"); /* from here on nobody calls back */
    fflush(stdout);
    pthread_cond_destroy(&chat.news);
    pthread_mutex_destroy(&chat.lock);
    if (!chat.is_answered) fprintf(stderr, "no answer\n");
    return chat.is_answered ? 0 : 1;
}
