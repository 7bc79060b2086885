/* What the examples share: a UDP socket, an address, and a loop between socket and protoquic. */
#ifndef NET_H
#define NET_H

#include <ev.h>
#include <protoquic.h>
#include <stdio.h>
#include <sys/socket.h>

struct address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* Prints what happened, with protoquic's words for it, and ends the program. */
void die(const char *what) __attribute__((noreturn));

/* Finds a host's first address; ends the program if there is none. */
struct address resolve(const char *host, const char *port);

/* A non-blocking UDP socket, bound to `local` or, if that is NULL, to any port for talking to
 * `peer`. `bound` gets its address. */
int open_socket(const struct address *local, const struct address *peer, struct address *bound);

/* Settings of a client; without a file of authorities any certificate is believed. And of a server,
 * with its certificate and key. The protocol is as TLS has it: its length and its name. */
pq_config *client_config(const char *alpn, const char *authorities);
pq_config *server_config(const char *alpn, const char *certificate, const char *key);

/* A socket and what is behind it, in libev's loop. A program puts it first into a structure of its
 * own, all zeros, and sets the first three. */
struct endpoint {
    /* Looks at what has come, and says what there is to say. Called after whatever happens. */
    void (*look)(struct endpoint *endpoint);
    pq_conn *conn;         /* of a client */
    pq_listener *listener; /* of a server */
    uint64_t close_code;   /* of a server that is interrupted */

    int fd;
    struct address local;
    ev_timer timer;
    ev_io readable, writable;
    ev_signal interrupt, terminate;
};

/* Runs a client's connection, whose socket is open, until it is closed. */
void run_client(struct endpoint *endpoint);

/* Runs a listener on this address until the program is interrupted; frees it. */
void run_server(struct endpoint *endpoint, const char *host, const char *port);

/* A header of HTTP/3. */
pq_header header(const char *name, const char *value);

#endif
