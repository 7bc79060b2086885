/* What the examples share: a UDP socket, an address, and the loops between socket and protoquic. */
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

/* Gives everything that waits in the socket to a client's connection, or to a listener. */
void read_conn(int fd, const struct address *local, pq_conn *conn);
void read_listener(int fd, const struct address *local, pq_listener *listener);

/* Gives everything that a client's connection, or a listener, has to send to the socket, and sets
 * the timer to when it wants to be called. `writable` is started if the socket is full. */
void write_conn(int fd, pq_conn *conn, struct ev_loop *loop, ev_timer *timer, ev_io *writable);
void write_listener(int fd, pq_listener *listener, struct ev_loop *loop, ev_timer *timer,
                    ev_io *writable);

#endif
