/* Measures a download from `quic_perf server` (draft-banks-quic-performance): the first 8 bytes of a
 * stream say how many are wanted. Prints bytes and Gbit/s. Datagrams are read and written many at a
 * time, with UDP_GRO and UDP_SEGMENT where the system has them.
 *
 *   perf_client --host HOST --port PORT --bytes N */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* No more at once than what the processor's cache holds until it is taken from the streams. */
enum { BATCH = 65536, MAX_READS = 8 };

/* Reads what there is, a batch of datagrams at a time. */
static void receive(int fd, const struct address *local, pq_conn *conn) {
    static uint8_t buffer[BATCH];
    for (int left = MAX_READS; left > 0; left--) {
        struct address from;
        char control[64];
        struct iovec part = {buffer, sizeof buffer};
        struct msghdr message;
        struct cmsghdr *extra;
        pq_recv_info info;
        ssize_t len;
        memset(&message, 0, sizeof message);
        message.msg_name = &from.storage;
        message.msg_namelen = sizeof from.storage;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        len = recvmsg(fd, &message, 0);
        if (len < 0) return;
        memset(&info, 0, sizeof info);
        for (extra = CMSG_FIRSTHDR(&message); extra; extra = CMSG_NXTHDR(&message, extra)) {
            if (extra->cmsg_level == IPPROTO_UDP && extra->cmsg_type == UDP_GRO) {
                int size;
                memcpy(&size, CMSG_DATA(extra), sizeof size);
                info.segment = (size_t)size;
            }
        }
        info.from = (struct sockaddr *)&from.storage;
        info.from_len = message.msg_namelen;
        info.to = (const struct sockaddr *)&local->storage;
        info.to_len = local->len;
        info.now = pq_now();
        if (pq_conn_recv(conn, buffer, (size_t)len, &info) < 0) die("pq_conn_recv");
    }
}

/* Writes what there is. A datagram that the socket does not take is lost, and sent again by QUIC. */
static void transmit(int fd, pq_conn *conn) {
    static uint8_t buffer[BATCH];
    pq_send_info info;
    ptrdiff_t len;
    while ((len = pq_conn_send_batch(conn, buffer, sizeof buffer, 40, &info, pq_now())) > 0) {
        char control[CMSG_SPACE(sizeof(uint16_t))];
        struct iovec part = {buffer, (size_t)len};
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_name = &info.path.peer;
        message.msg_namelen = info.path.peer_len;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (info.segment < (size_t)len) {
            struct cmsghdr *extra;
            uint16_t size = (uint16_t)info.segment;
            memset(control, 0, sizeof control);
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            extra = CMSG_FIRSTHDR(&message);
            extra->cmsg_level = IPPROTO_UDP;
            extra->cmsg_type = UDP_SEGMENT;
            extra->cmsg_len = CMSG_LEN(sizeof size);
            memcpy(CMSG_DATA(extra), &size, sizeof size);
        }
        if (sendmsg(fd, &message, 0) < 0 && errno != EAGAIN) die("sendmsg");
    }
    if (len != PQ_ERR_DONE) die("pq_conn_send_batch");
}

static void await(int fd, pq_conn *conn) {
    struct pollfd wanted = {fd, POLLIN, 0};
    int64_t timeout = pq_conn_timeout(conn, pq_now());
    struct timespec wait = {timeout / 1000000000, timeout % 1000000000};
    if (ppoll(&wanted, 1, timeout == PQ_FOREVER ? NULL : &wait, NULL) < 0 && errno != EINTR) {
        die("ppoll");
    }
}

/* Asks for the bytes and counts them. Returns how many came. */
static uint64_t download(int fd, const struct address *local, pq_conn *conn, uint64_t bytes) {
    static uint8_t buffer[BATCH];
    uint8_t request[8];
    uint64_t received = 0;
    int64_t stream = -1;
    bool fin = false;
    for (int i = 0; i < 8; i++) request[i] = (uint8_t)(bytes >> (56 - 8 * i));
    while (!fin && !pq_conn_is_closed(conn)) {
        ptrdiff_t len;
        if (stream < 0 && pq_conn_is_established(conn)) {
            stream = pq_stream_open(conn, true);
            if (stream < 0) die("pq_stream_open");
            if (pq_stream_send(conn, (uint64_t)stream, request, 8, true, NULL) != 8) die("send");
        }
        while (stream >= 0 && !fin) {
            len = pq_stream_recv(conn, (uint64_t)stream, buffer, sizeof buffer, &fin, NULL);
            if (len == PQ_ERR_DONE) break;
            if (len < 0) die("pq_stream_recv");
            received += (uint64_t)len;
        }
        if (fin) pq_conn_close(conn, 0, NULL, 0);
        transmit(fd, conn);
        if (fin) break;
        await(fd, conn);
        receive(fd, local, conn);
        pq_conn_on_timeout(conn, pq_now());
    }
    return received;
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "4433";
    uint64_t bytes = 1000000000, received;
    struct address server, local;
    int fd, on = 1;
    double seconds;
    for (int at = 1; at < argc; at += 2) {
        if (at + 1 < argc && strcmp(argv[at], "--host") == 0) host = argv[at + 1];
        else if (at + 1 < argc && strcmp(argv[at], "--port") == 0) port = argv[at + 1];
        else if (at + 1 < argc && strcmp(argv[at], "--bytes") == 0)
            bytes = strtoull(argv[at + 1], NULL, 10);
        else {
            fprintf(stderr, "usage: %s [--host HOST] [--port PORT] [--bytes N]\n", argv[0]);
            return 2;
        }
    }
    pq_config *config = pq_config_new((const uint8_t *)"\x04perf", 5);
    errno = 0;
    if (!config) die("pq_config_new");
    pq_config_verify_peer(config, false); /* a server of one's own */
    server = resolve(host, port);
    fd = open_socket(NULL, &server, &local);
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on); /* not every system has it */
    errno = 0;
    pq_conn *conn = pq_connect(config, host, NULL, 0, (struct sockaddr *)&server.storage, server.len,
                               pq_now());
    if (!conn) die("pq_connect");
    uint64_t start = pq_now();
    received = download(fd, &local, conn, bytes);
    seconds = (double)(pq_now() - start) / 1e9;
    printf("%llu bytes, %.3f Gbit/s\n", (unsigned long long)received,
           (double)received * 8 / seconds / 1e9);
    pq_conn_free(conn);
    pq_config_free(config);
    close(fd);
    return received == bytes ? 0 : 1;
}
