/* An echo on the callback layer: sends back what comes on every stream, with ALPN "qchat", until it
 * is interrupted. The library's threads call back; this one only waits.
 *
 *   qchat_server [--listen HOST] [--port PORT] --cert FILE --key FILE */
#include <netdb.h>
#include <protoquic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So much of a stream may be on its way back; then no more is taken until some is sent. */
enum { MAX_IN_FLIGHT = 256 * 1024 };

struct echo {
    size_t in_flight;
    int is_paused;
};

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, pq_last_error());
    exit(1);
}

static void on_stream(pq_handle stream, void *context, pq_cb_stream_event *event) {
    struct echo *echo = context;
    switch (event->kind) {
    case PQ_CB_RECEIVE:
        if (echo->in_flight >= MAX_IN_FLIGHT) {
            echo->is_paused = 1;
            event->consumed = 0; /* shown again after pq_cb_stream_resume */
            break;
        }
        echo->in_flight += event->len;
        /* The data is copied; all that has to be remembered is how much it was. */
        if (pq_cb_stream_send(stream, event->data, event->len, false,
                              (void *)(uintptr_t)event->len) < 0) {
            pq_cb_stream_stop(stream, 0);
        }
        break;
    case PQ_CB_SEND_COMPLETE:
        echo->in_flight -= (size_t)(uintptr_t)event->send_context;
        if (echo->is_paused && echo->in_flight < MAX_IN_FLIGHT) {
            echo->is_paused = 0;
            pq_cb_stream_resume(stream);
        }
        break;
    case PQ_CB_PEER_SEND_SHUTDOWN:
        pq_cb_stream_finish(stream);
        break;
    case PQ_CB_PEER_SEND_ABORTED:
        pq_cb_stream_reset(stream, event->code);
        break;
    case PQ_CB_STREAM_SHUTDOWN_COMPLETE:
        free(echo);
        break;
    case PQ_CB_START_COMPLETE:
    case PQ_CB_PEER_RECEIVE_ABORTED:
    case PQ_CB_SEND_SHUTDOWN_COMPLETE:
        break;
    }
}

static void on_conn(pq_handle conn, void *context, pq_cb_conn_event *event) {
    (void)context;
    switch (event->kind) {
    case PQ_CB_CONNECTED:
        printf("connection %llu: connected\n", (unsigned long long)conn);
        break;
    case PQ_CB_PEER_STREAM_STARTED:
        if (event->bidirectional) { /* others cannot be answered, and are refused */
            event->context = calloc(1, sizeof(struct echo));
            event->callback = event->context ? on_stream : NULL;
        }
        printf("connection %llu: new stream\n", (unsigned long long)conn);
        break;
    case PQ_CB_SHUTDOWN_BY_PEER:
    case PQ_CB_SHUTDOWN_BY_TRANSPORT:
        printf("connection %llu: shutting down, code %#llx\n", (unsigned long long)conn,
               (unsigned long long)event->code);
        break;
    case PQ_CB_CONN_SHUTDOWN_COMPLETE:
        printf("connection %llu: closed\n", (unsigned long long)conn);
        break;
    case PQ_CB_DATAGRAM:
        break;
    }
    fflush(stdout);
}

static void on_listener(pq_handle listener, void *context, pq_cb_listener_event *event) {
    (void)listener;
    (void)context;
    if (event->kind == PQ_CB_NEW_CONNECTION) {
        printf("connection %llu: accepted\n", (unsigned long long)event->conn);
        event->callback = on_conn;
    }
}

int main(int argc, char **argv) {
    const char *host = "0.0.0.0", *port = "4443", *certificate = NULL, *key = NULL;
    struct addrinfo hints, *found = NULL;
    pq_handle registration, listener;
    sigset_t signals;
    int signal;
    for (int at = 1; at < argc; at += 2) {
        const char *value = at + 1 < argc ? argv[at + 1] : NULL;
        if (value && strcmp(argv[at], "--listen") == 0) host = value;
        else if (value && strcmp(argv[at], "--port") == 0) port = value;
        else if (value && strcmp(argv[at], "--cert") == 0) certificate = value;
        else if (value && strcmp(argv[at], "--key") == 0) key = value;
        else certificate = NULL, at = argc;
    }
    if (!certificate || !key) {
        fprintf(stderr, "usage: %s [--listen HOST] [--port PORT] --cert FILE --key FILE\n", argv[0]);
        return 2;
    }
    /* Before there are threads: they inherit it, and only this one takes the signals. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    pq_config *config = pq_config_new((const uint8_t *)"\x05qchat", 6);
    if (!config) die("pq_config_new");
    if (pq_config_set_identity_files(config, certificate, key) < 0) die("--cert, --key");
    if (pq_config_set_idle_timeout(config, 30000) < 0) die("pq_config_set_idle_timeout");
    if (pq_config_set_max_streams(config, 100, 0) < 0) die("pq_config_set_max_streams");
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(host, port, &hints, &found) != 0) die("--listen");
    if (pq_cb_open(&registration) < 0) die("pq_cb_open");
    if (pq_cb_listen(registration, config, found->ai_addr, found->ai_addrlen, on_listener, NULL,
                     &listener) < 0) {
        die("pq_cb_listen");
    }
    freeaddrinfo(found);
    pq_config_free(config);
    printf("listening on %s:%s\n", host, port);
    fflush(stdout);
    sigwait(&signals, &signal);
    if (pq_cb_close(registration) < 0) die("pq_cb_close");
    return 0;
}
