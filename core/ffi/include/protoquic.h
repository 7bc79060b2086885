/* protoquic.h: QUIC and HTTP/3 for C. Made from the Rust sources of protoquic-ffi by cbindgen; do not
 * edit. docs/c-api.md is the guide.
 *
 * Rules that hold for every function:
 * - What begins with an underscore is nobody's business; everything else begins with pq_ or PQ_.
 * - 0 and more is success, less is a PQ_ERR_ code. pq_error_text says what a code means, and
 *   pq_last_error what happened to this thread's last call.
 * - NULL, a handle that was freed or is of another kind, a length beyond PTRDIFF_MAX, and a call in
 *   a state that does not allow it are errors, and change nothing. A pointer must be NULL or valid
 *   for the length that is given with it; a length of 0 goes with any pointer.
 * - An object, and all that was made from it, is used by one thread at a time. Different objects may
 *   be used by different threads. A pq_config may be freed or changed once others are made from it.
 * - No Rust panic leaves a function: it becomes PQ_ERR_PANIC, after which the object is to be freed.
 * - Times are nanoseconds of a clock of yours that does not run backwards; pq_now() is one.
 */

#ifndef PROTOQUIC_H
#define PROTOQUIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

// What a timeout is if there is none.
#define PQ_FOREVER INT64_MAX

// Success.
#define PQ_OK 0

// There is nothing to do: no datagram to send, nothing to read, no room to write, no event.
#define PQ_ERR_DONE -1

// The buffer is too short. Nothing was lost.
#define PQ_ERR_BUFFER_TOO_SHORT -2

// An argument or a setting makes no sense; pq_last_error says which.
#define PQ_ERR_INVALID -3

// No such stream or exchange, or it is over.
#define PQ_ERR_UNKNOWN_STREAM -4

// The stream does not carry data in that direction.
#define PQ_ERR_WRONG_DIRECTION -5

// This cannot be done at this point, or not with this kind of connection.
#define PQ_ERR_WRONG_STATE -6

// The peer allows no more streams for now.
#define PQ_ERR_STREAM_LIMIT -7

// The peer has reset the stream; what was not read is gone.
#define PQ_ERR_STREAM_RESET -8

// The peer wants no more data on the stream.
#define PQ_ERR_STREAM_STOPPED -9

// Larger than the peer takes, or than fits now.
#define PQ_ERR_TOO_LARGE -10

// Too much is waiting already.
#define PQ_ERR_QUEUE_FULL -11

// The peer does not know what this asks of it.
#define PQ_ERR_NOT_SUPPORTED -12

// The connection is closed or closing, or takes no new requests.
#define PQ_ERR_CLOSED -13

// NULL where a pointer must not be.
#define PQ_ERR_NULL -14

// A handle that was freed, or is of another kind.
#define PQ_ERR_BAD_HANDLE -15

// A fault of this library. The object is to be freed.
#define PQ_ERR_PANIC -16

// A file could not be read, or a socket not be used; pq_last_error says why.
#define PQ_ERR_SYSTEM -17

// What stands for no stream, where one could be named.
#define PQ_NO_STREAM UINT64_MAX

// What a listener's event tells.
typedef enum {
  // A client begins a connection. Set `callback`, or it is refused; and `context`, if you like.
  PQ_CB_NEW_CONNECTION = 0,
} pq_cb_listener_event_kind;

// What a connection's event tells.
typedef enum {
  // The handshake is complete.
  PQ_CB_CONNECTED = 0,
  // The peer opened `stream`. Set `callback`, or it is refused; and `context`, if you like.
  PQ_CB_PEER_STREAM_STARTED = 1,
  // The peer closed the connection, with `code`.
  PQ_CB_SHUTDOWN_BY_PEER = 2,
  // The transport did: somebody broke a rule, or there was silence; with `code`.
  PQ_CB_SHUTDOWN_BY_TRANSPORT = 3,
  // A datagram has come: `data` and `len`.
  PQ_CB_DATAGRAM = 4,
  // The connection is over. The last event: the handle names nothing any more.
  PQ_CB_CONN_SHUTDOWN_COMPLETE = 5,
} pq_cb_conn_event_kind;

// What a stream's event tells.
typedef enum {
  // The stream is open, with `id` as its number in QUIC.
  PQ_CB_START_COMPLETE = 0,
  // Data has come: `data` and `len`. Set `consumed` to less than `len` to take no more for now;
  // the rest, and what comes after, is shown again after pq_cb_stream_resume.
  PQ_CB_RECEIVE = 1,
  // What pq_cb_stream_send was called with `send_context` is on its way, and its buffer was never
  // needed again; or it was dropped, if `canceled`.
  PQ_CB_SEND_COMPLETE = 2,
  // The peer has ended its part; everything was received.
  PQ_CB_PEER_SEND_SHUTDOWN = 3,
  // The peer gave its part up, with `code`.
  PQ_CB_PEER_SEND_ABORTED = 4,
  // The peer wants no more of our part, with `code`.
  PQ_CB_PEER_RECEIVE_ABORTED = 5,
  // The peer has acknowledged everything, up to the end of our part.
  PQ_CB_SEND_SHUTDOWN_COMPLETE = 6,
  // The stream is over. The last event: the handle names nothing any more.
  PQ_CB_STREAM_SHUTDOWN_COMPLETE = 7,
} pq_cb_stream_event_kind;

// What an event tells.
typedef enum {
  // The handshake is complete.
  PQ_EVENT_ESTABLISHED = 0,
  // A client that resumes may write already; it may be replayed.
  PQ_EVENT_EARLY_DATA_READY = 1,
  // The server has taken early data (code 1) or not (code 0: it is all sent again).
  PQ_EVENT_EARLY_DATA_SETTLED = 2,
  // The handshake is confirmed.
  PQ_EVENT_CONFIRMED = 3,
  // The peer opened a stream.
  PQ_EVENT_STREAM_OPENED = 4,
  // The peer reset its part of a stream, with a code.
  PQ_EVENT_STREAM_RESET = 5,
  // The peer wants no more of our part of a stream, with a code.
  PQ_EVENT_STREAM_STOPPED = 6,
  // Everything that was written to a stream, and its end, was acknowledged.
  PQ_EVENT_STREAM_ACKED = 7,
  // Both parts of a stream are over.
  PQ_EVENT_STREAM_CLOSED = 8,
  // More streams may be opened: bidirectional ones (code 0) or unidirectional ones (code 1).
  PQ_EVENT_STREAMS_AVAILABLE = 9,
  // The peer has proven to be at the other end of this path.
  PQ_EVENT_PATH_VALIDATED = 10,
  // It has not, in time.
  PQ_EVENT_PATH_FAILED = 11,
  // The connection runs over this path from now on.
  PQ_EVENT_PATH_CHANGED = 12,
  // The path in use may be dying.
  PQ_EVENT_PATH_DEGRADING = 13,
  // It gets through again.
  PQ_EVENT_PATH_RECOVERED = 14,
  // The connection is over; pq_conn_close_info says how.
  PQ_EVENT_CLOSED = 15,
} pq_event_kind;

// What an event of an exchange tells.
typedef enum {
  // On a server: a request's head has come, in `headers`.
  PQ_H3_REQUEST = 0,
  // On a client: an interim response has come, in `headers`.
  PQ_H3_INTERIM = 1,
  // On a client: the response's head has come, in `headers`.
  PQ_H3_RESPONSE = 2,
  // There is body to read. Told again only after all was read.
  PQ_H3_DATA = 3,
  // The peer's message was read to its end; trailers, if it has any, are in `headers`.
  PQ_H3_FINISHED = 4,
  // There is room for body again.
  PQ_H3_WRITABLE = 5,
  // The exchange has failed, with a code of HTTP/3; nothing more follows.
  PQ_H3_FAILED = 6,
} pq_h3_event_kind;

// What a listener tells.
typedef enum {
  // A client begins a connection. It is the caller's, to be freed with pq_conn_free.
  PQ_LISTENER_ACCEPTED = 0,
  // Something has come for this connection, or a timeout of it has passed.
  PQ_LISTENER_READY = 1,
  // This connection is over: nothing more can be done with it than to look at
  // pq_conn_close_info and to free it.
  PQ_LISTENER_CLOSED = 2,
} pq_listener_event_kind;

// Why a connection ended.
typedef enum {
  // It has not.
  PQ_CLOSE_NONE = 0,
  // Our side closed it, with an application's code.
  PQ_CLOSE_APPLICATION = 1,
  // The peer closed it, with an application's code.
  PQ_CLOSE_PEER_APPLICATION = 2,
  // The peer broke a rule, or we failed; with a code of RFC 9000 section 20.1.
  PQ_CLOSE_TRANSPORT = 3,
  // The peer closed it with such a code.
  PQ_CLOSE_PEER_TRANSPORT = 4,
  // Silence, or a handshake that took too long.
  PQ_CLOSE_TIMEOUT = 5,
  // The peer has lost its state, has no version in common with us, or cannot be sent to.
  PQ_CLOSE_OTHER = 6,
} pq_close_kind;

// Settings, certificates and protocols. See pq_config_new.
typedef struct pq_config pq_config;

// One connection: of a client, or one that a listener has accepted.
typedef struct pq_conn pq_conn;

// A server's port. See pq_listen.
typedef struct pq_listener pq_listener;

// Names a registration, a listener, a connection or a stream of the callback layer. 0 names nothing;
// no number is ever used twice.
typedef uint64_t pq_handle;

// An event of a stream.
typedef struct {
  // What it tells.
  pq_cb_stream_event_kind kind;
  // The stream's number in QUIC, of PQ_CB_START_COMPLETE.
  uint64_t id;
  // What has come; valid for the call.
  const uint8_t *data;
  // How much.
  size_t len;
  // How much of it was taken: all, unless it is set to less.
  size_t consumed;
  // Of PQ_CB_SEND_COMPLETE: what pq_cb_stream_send was given.
  void *send_context;
  // Of PQ_CB_SEND_COMPLETE: it was not sent.
  bool canceled;
  // The code, of what was aborted.
  uint64_t code;
} pq_cb_stream_event;

// Is called with a stream's events, on the thread of its connection.
typedef void (*pq_cb_stream_callback)(pq_handle stream, void *context, pq_cb_stream_event *event);

// An event of a connection.
typedef struct {
  // What it tells.
  pq_cb_conn_event_kind kind;
  // The stream, of PQ_CB_PEER_STREAM_STARTED.
  pq_handle stream;
  // Whether that stream carries data both ways.
  bool bidirectional;
  // The code, of a shutdown.
  uint64_t code;
  // The datagram; valid for the call.
  const uint8_t *data;
  // How long it is.
  size_t len;
  // To be set, of PQ_CB_PEER_STREAM_STARTED: who is called with the stream's events.
  pq_cb_stream_callback callback;
  // To be set: what it is called with.
  void *context;
} pq_cb_conn_event;

// Is called with a connection's events, on its thread.
typedef void (*pq_cb_conn_callback)(pq_handle conn, void *context, pq_cb_conn_event *event);

// An event of a listener.
typedef struct {
  // What it tells.
  pq_cb_listener_event_kind kind;
  // The new connection.
  pq_handle conn;
  // The client's address.
  struct sockaddr_storage peer;
  // How long it is.
  socklen_t peer_len;
  // To be set: who is called with the connection's events.
  pq_cb_conn_callback callback;
  // To be set: what it is called with.
  void *context;
} pq_cb_listener_event;

// Is called with a listener's events, on the listener's thread.
typedef void (*pq_cb_listener_callback)(pq_handle listener,
                                        void *context,
                                        pq_cb_listener_event *event);

// How a datagram arrived.
typedef struct {
  // The peer's address.
  const struct sockaddr *from;
  // How long it is.
  socklen_t from_len;
  // Our address; NULL if it is not known, and there is only one.
  const struct sockaddr *to;
  // How long it is.
  socklen_t to_len;
  // The two ECN bits of its IP header; 0 if they are not known.
  uint8_t ecn;
  // If not 0: the buffer holds datagrams of so many bytes each, the last may be shorter (UDP_GRO).
  size_t segment;
  // When it was read, in nanoseconds.
  uint64_t now;
} pq_recv_info;

// From where to where.
typedef struct {
  // Our address; unspecified (0.0.0.0 or ::) where the system is to choose.
  struct sockaddr_storage local;
  // How long it is.
  socklen_t local_len;
  // The peer's address.
  struct sockaddr_storage peer;
  // How long it is.
  socklen_t peer_len;
} pq_path;

// Where a datagram goes.
typedef struct {
  // From where to where.
  pq_path path;
  // The two ECN bits to mark it with.
  uint8_t ecn;
  // The buffer holds datagrams of so many bytes each, the last may be shorter (UDP_SEGMENT).
  size_t segment;
} pq_send_info;

// News of a connection with bare streams.
typedef struct {
  // What it tells.
  pq_event_kind kind;
  // Of which stream, if of one.
  uint64_t stream;
  // The code, if it has one.
  uint64_t code;
  // The path, if it tells of one.
  pq_path path;
} pq_event;

// One field of a header section. Neither name nor value ends with NUL.
typedef struct {
  // In lower case.
  const char *name;
  // How long it is.
  size_t name_len;
  // Any bytes that HTTP allows.
  const char *value;
  // How long it is.
  size_t value_len;
} pq_header;

// News of an exchange.
typedef struct {
  // What it tells.
  pq_h3_event_kind kind;
  // Of which exchange.
  uint64_t id;
  // The code, of PQ_H3_FAILED.
  uint64_t code;
  // Of PQ_H3_FAILED: whether the request was not processed and can be sent again.
  bool retriable;
  // Fields; valid until the connection's next pq_h3_poll, or it is freed.
  const pq_header *headers;
  // How many.
  size_t headers_len;
} pq_h3_event;

// How a connection ended.
typedef struct {
  // Why.
  pq_close_kind kind;
  // With which code, if the kind has one.
  uint64_t code;
} pq_close_info;

// News of a listener.
typedef struct {
  // What it tells.
  pq_listener_event_kind kind;
  // Of which connection.
  pq_conn *conn;
  // How it ended, if it has.
  pq_close_info close;
} pq_listener_event;

// Counters of a connection, and the state of its path now.
typedef struct {
  // UDP datagrams received.
  uint64_t datagrams_received;
  // Bytes of UDP payload received.
  uint64_t bytes_received;
  // QUIC packets received and authenticated.
  uint64_t packets_received;
  // QUIC packets that were dropped.
  uint64_t packets_dropped;
  // QUIC packets sent.
  uint64_t packets_sent;
  // Bytes sent in QUIC packets.
  uint64_t bytes_sent;
  // Packets declared lost.
  uint64_t packets_lost;
  // Of these, arrived after all.
  uint64_t spurious_losses;
  // The smoothed round-trip time, in nanoseconds.
  uint64_t smoothed_rtt;
  // The congestion window, in bytes.
  uint64_t congestion_window;
  // The UDP payload size in use, in bytes.
  size_t packet_size;
  // Key updates by either side.
  uint64_t key_updates;
} pq_stats;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens the callback layer: what listeners and connections belong to. `registration` gets its
// handle.
int pq_cb_open(pq_handle *registration);

// Closes everything that belongs to a registration, and waits until all of it has said so and its
// threads have ended. Not to be called within a callback: PQ_ERR_WRONG_STATE.
int pq_cb_close(pq_handle registration);

// Listens at an address on a thread of its own, which calls `callback` with `context` for every
// client. `listener` gets its handle. The settings are copied.
int pq_cb_listen(pq_handle registration,
                 pq_config *config,
                 const struct sockaddr *address,
                 socklen_t address_len,
                 pq_cb_listener_callback callback,
                 void *context,
                 pq_handle *listener);

// Closes a listener and all its connections; they still tell their ends.
int pq_cb_listener_close(pq_handle listener);

// Begins a connection to the server of this name at this address, on a thread of its own, which calls
// `callback` with `context`. `conn` gets its handle. The settings are copied.
int pq_cb_connect(pq_handle registration,
                  pq_config *config,
                  const char *server_name,
                  const struct sockaddr *address,
                  socklen_t address_len,
                  pq_cb_conn_callback callback,
                  void *context,
                  pq_handle *conn);

// Closes a connection with an application's error code. What is not delivered may be lost.
int pq_cb_conn_close(pq_handle conn, uint64_t code);

// Sends a datagram, which is copied. Nobody tells whether it arrives. PQ_ERR_QUEUE_FULL if too many
// wait for the connection's thread.
int pq_cb_conn_send_datagram(pq_handle conn, const uint8_t *data, size_t len);

// Opens a stream as soon as the peer allows one; `stream` gets its handle, which can be used at once.
int pq_cb_stream_start(pq_handle conn,
                       bool bidirectional,
                       pq_cb_stream_callback callback,
                       void *context,
                       pq_handle *stream);

// Sends data, which is copied, and with `fin` the end of the stream. PQ_CB_SEND_COMPLETE, with
// `send_context`, tells when it was taken on its way: send more then. PQ_ERR_QUEUE_FULL if 16 MiB of the
// stream, or 1024 calls, wait already.
int pq_cb_stream_send(pq_handle stream,
                      const uint8_t *data,
                      size_t len,
                      bool fin,
                      void *send_context);

// Ends our part of a stream in order: what was sent before still arrives.
int pq_cb_stream_finish(pq_handle stream);

// Gives our part of a stream up.
int pq_cb_stream_reset(pq_handle stream, uint64_t code);

// Asks the peer to give its part of a stream up; nothing of it is shown any more.
int pq_cb_stream_stop(pq_handle stream, uint64_t code);

// Has what was not consumed shown again, and what comes after it.
int pq_cb_stream_resume(pq_handle stream);

// Settings for these application protocols, each behind a byte with its length, most wanted first,
// as TLS has them: "\x05qchat". NULL if they are malformed.
pq_config *pq_config_new(const uint8_t *alpn, size_t alpn_len);

// Frees settings. NULL is allowed.
void pq_config_free(pq_config *config);

// A certificate chain, its own certificate first, and its private key, in PEM files. A listener
// needs one; a client shows it to servers that ask. What is in them is looked at when they are used.
int pq_config_set_identity_files(pq_config *config,
                                 const char *certificate,
                                 const char *key);

// As pq_config_set_identity_files, with PEM in memory.
int pq_config_set_identity(pq_config *config,
                           const uint8_t *certificate,
                           size_t certificate_len,
                           const uint8_t *key,
                           size_t key_len);

// Authorities in a PEM file to verify servers by; the system's otherwise.
int pq_config_set_authorities_file(pq_config *config, const char *path);

// Whether a client verifies its server. To be switched off for servers of one's own only. Default
// yes.
int pq_config_verify_peer(pq_config *config, bool yes);

// How long the peer may be silent, in milliseconds; 0: for ever. Default 30,000.
int pq_config_set_idle_timeout(pq_config *config, uint64_t ms);

// Sends a PING after so many milliseconds of silence; 0: never, the default.
int pq_config_set_keep_alive(pq_config *config, uint64_t ms);

// The receive windows to begin with, in bytes: of all streams together, and of each.
int pq_config_set_windows(pq_config *config, uint64_t connection, uint64_t stream);

// How many streams the peer may have open at a time. Default 100 of each.
int pq_config_set_max_streams(pq_config *config, uint64_t bidirectional, uint64_t unidirectional);

// Whether datagrams of the peer are taken (RFC 9221). Default no.
int pq_config_enable_datagrams(pq_config *config, bool yes);

// The congestion controller: "reno", "cubic" (the default), "bbr" or "prague".
int pq_config_set_congestion_control(pq_config *config, const char *name);

// The UDP payloads to begin with and to probe for, in bytes, 1200 to 65527. Default 1200 and 1452.
int pq_config_set_packet_sizes(pq_config *config, size_t initial, size_t max);

// Whether packets are to be marked for ECN. Who switches it on marks them as pq_send_info says, and
// tells with pq_recv_info how they came. Default no.
int pq_config_enable_ecn(pq_config *config, bool yes);

// Whether a client remembers servers, in memory, to resume their sessions. Default no.
int pq_config_remember_sessions(pq_config *config, bool yes);

// Whether early data is sent by clients that resume, and taken by servers. It can be replayed
// (RFC 9001 section 9.2). Default no.
int pq_config_allow_early_data(pq_config *config, bool yes);

// Whether a listener has every client prove its address first (Retry). Default: when there are too
// many at a time.
int pq_config_always_retry(pq_config *config, bool yes);

// How many connections may wait for pq_listener_poll at most; more are refused. Default 1024.
int pq_config_set_backlog(pq_config *config, size_t backlog);

// The time now, in nanoseconds, on a clock that does not run backwards.
uint64_t pq_now(void);

// Begins a connection for bare streams to the server of this name. `local` may be NULL: the system
// chooses. Its first datagrams wait for pq_conn_send. NULL if that cannot be.
pq_conn *pq_connect(pq_config *config,
                    const char *server_name,
                    const struct sockaddr *local,
                    socklen_t local_len,
                    const struct sockaddr *peer,
                    socklen_t peer_len,
                    uint64_t now);

// As pq_connect, for HTTP/3.
pq_conn *pq_h3_connect(pq_config *config,
                       const char *server_name,
                       const struct sockaddr *local,
                       socklen_t local_len,
                       const struct sockaddr *peer,
                       socklen_t peer_len,
                       uint64_t now);

// Gives a client's connection a datagram that has arrived, or a batch of them.
int pq_conn_recv(pq_conn *conn, const uint8_t *data, size_t len, const pq_recv_info *info);

// Puts the next datagram of a client's connection into `out`, and returns its length.
// PQ_ERR_DONE if there is none now. `info` may be NULL.
ptrdiff_t pq_conn_send(pq_conn *conn, uint8_t *out, size_t len, pq_send_info *info, uint64_t now);

// Puts as many datagrams as fit, `max` at most, one behind the other: all of one size, but for the
// last, which may be shorter. Returns the length of all.
ptrdiff_t pq_conn_send_batch(pq_conn *conn,
                             uint8_t *out,
                             size_t len,
                             size_t max,
                             pq_send_info *info,
                             uint64_t now);

// How many nanoseconds a client's connection can wait before pq_conn_on_timeout; PQ_FOREVER if
// nothing is awaited. 0 as long as there may be something to send.
int64_t pq_conn_timeout(pq_conn *conn, uint64_t now);

// The timeout of a client's connection has passed. Harmless if it has not.
int pq_conn_on_timeout(pq_conn *conn, uint64_t now);

// Frees a connection, and forgets it without a word to the peer; one that a listener has accepted is
// closed. NULL is allowed.
void pq_conn_free(pq_conn *conn);

// Keeps a pointer of the caller's with a connection.
int pq_conn_set_data(pq_conn *conn, void *data);

// The pointer that was kept; NULL if there is none.
void *pq_conn_data(pq_conn *conn);

// The next news of a connection with bare streams. PQ_ERR_DONE if there are none.
int pq_conn_poll(pq_conn *conn, pq_event *event);

// The next news of a connection with HTTP/3. PQ_ERR_DONE if there are none.
int pq_h3_poll(pq_conn *conn, pq_h3_event *event);

// On a client: sends a request, or has it wait until the server allows a stream; returns the number
// of its exchange. The list holds ":method", ":scheme", ":authority", ":path" and other fields. With
// `fin` it has no body; otherwise pq_h3_send_body follows.
int64_t pq_h3_send_request(pq_conn *conn,
                           const pq_header *headers,
                           size_t headers_len,
                           bool fin);

// On a server: sends the head of a response: ":status" and other fields. A status from 100 to 199 is
// an interim response, and more follows. With `fin` it has no body; otherwise pq_h3_send_body
// follows. When a response has ended, what was not read of its request is dropped.
int pq_h3_send_response(pq_conn *conn,
                        uint64_t id,
                        const pq_header *headers,
                        size_t headers_len,
                        bool fin);

// Takes the front of `data` as far as there is room, and returns how many bytes that is; `fin` ends
// our message once all was taken. PQ_ERR_DONE if there is no room: PQ_H3_WRITABLE tells when there
// is.
ptrdiff_t pq_h3_send_body(pq_conn *conn, uint64_t id, const uint8_t *data, size_t len, bool fin);

// Ends our message with trailers.
int pq_h3_send_trailers(pq_conn *conn, uint64_t id, const pq_header *headers, size_t headers_len);

// Reads body into `out` and returns how many bytes. PQ_ERR_DONE if there is none now.
ptrdiff_t pq_h3_recv_body(pq_conn *conn, uint64_t id, uint8_t *out, size_t len);

// Gives an exchange up; nothing more is told of it. On a server with this code of HTTP/3, on a client
// with H3_REQUEST_CANCELLED.
int pq_h3_cancel(pq_conn *conn,
                 uint64_t id,
                 uint64_t code);

// On a client: asks the server for another urgency of a response (RFC 9218): 0, the highest, to 7.
int pq_h3_prioritize(pq_conn *conn, uint64_t id, uint8_t urgency, bool incremental);

// Ends a connection in order: tells the peer (GOAWAY), lets what runs come to its end, then closes.
int pq_h3_shut_down(pq_conn *conn);

// A listener for connections with bare streams. NULL if that cannot be.
pq_listener *pq_listen(pq_config *config);

// A listener for connections with HTTP/3. NULL if that cannot be.
pq_listener *pq_h3_listen(pq_config *config);

// Frees a listener and forgets all its connections without a word to their clients; their handles
// are still to be freed. NULL is allowed.
void pq_listener_free(pq_listener *listener);

// Gives a listener a datagram that has arrived, or a batch of them.
int pq_listener_recv(pq_listener *listener,
                     const uint8_t *data,
                     size_t len,
                     const pq_recv_info *info);

// Puts the next datagram of any connection into `out`, and returns its length. PQ_ERR_DONE if there
// is none now. `info` may be NULL.
ptrdiff_t pq_listener_send(pq_listener *listener,
                           uint8_t *out,
                           size_t len,
                           pq_send_info *info,
                           uint64_t now);

// Puts as many datagrams as fit, `max` at most, one behind the other: all to one client, all of one
// size, but for the last, which may be shorter. Returns the length of all.
ptrdiff_t pq_listener_send_batch(pq_listener *listener,
                                 uint8_t *out,
                                 size_t len,
                                 size_t max,
                                 pq_send_info *info,
                                 uint64_t now);

// How many nanoseconds a listener can wait before pq_listener_on_timeout; PQ_FOREVER if nothing is
// awaited. 0 as long as there may be something to send, or news.
int64_t pq_listener_timeout(pq_listener *listener, uint64_t now);

// The timeout has passed. Harmless if it has not.
int pq_listener_on_timeout(pq_listener *listener, uint64_t now);

// The next news. PQ_ERR_DONE if there are none. To be called until then, after every batch of
// datagrams and after pq_listener_on_timeout.
int pq_listener_poll(pq_listener *listener, pq_listener_event *event, uint64_t now);

// From now on new clients are refused, and every connection is told to end when it can: HTTP/3 says
// GOAWAY and serves what runs, bare streams close.
int pq_listener_stop(pq_listener *listener, uint64_t now);

// Closes every connection at once with an application's error code, and refuses new clients. The
// reason may be NULL with a length of 0.
int pq_listener_close_all(pq_listener *listener,
                          uint64_t code,
                          const char *reason,
                          size_t reason_len,
                          uint64_t now);

// 1 if no connection lives.
int pq_listener_is_idle(pq_listener *listener);

// The addresses that the connection runs between.
int pq_conn_path(pq_conn *conn, pq_path *path);

// On a client: probes the path from another address of ours. With bare streams, PQ_EVENT_PATH_VALIDATED
// or PQ_EVENT_PATH_FAILED tells how it went.
int pq_conn_probe_path(pq_conn *conn,
                       const struct sockaddr *local,
                       socklen_t local_len);

// On a client: moves to another address of ours as soon as the path from there is proven.
int pq_conn_migrate(pq_conn *conn, const struct sockaddr *local, socklen_t local_len);

// 1 if the handshake is complete and the connection is not closing, 0 if not.
int pq_conn_is_established(pq_conn *conn);

// 1 if the handshake is confirmed: a client may change its path.
int pq_conn_is_confirmed(pq_conn *conn);

// 1 if the connection is closing or over. An accepted one is soon forgotten then: PQ_ERR_CLOSED.
int pq_conn_is_closed(pq_conn *conn);

// 1 if nothing will ever be sent again: it can be freed.
int pq_conn_is_drained(pq_conn *conn);

// 1 if TLS resumed an earlier session.
int pq_conn_is_resumed(pq_conn *conn);

// Closes a connection with an application's error code and a reason, which may be NULL with a length
// of 0. Does nothing if it is closed.
int pq_conn_close(pq_conn *conn,
                  uint64_t code,
                  const char *reason,
                  size_t reason_len);

// Has a PING sent.
int pq_conn_ping(pq_conn *conn);

// How the connection ended, with a text that may be cut to fit `text_len` bytes; `text` may be NULL
// with a length of 0. Returns the text's whole length.
ptrdiff_t pq_conn_close_info(pq_conn *conn, pq_close_info *info, char *text, size_t text_len);

// Counters, and the state of the path now.
int pq_conn_stats(pq_conn *conn, pq_stats *stats);

// The application protocol that was agreed on, as a C string cut to fit. Returns its whole length, 0
// before it is known.
ptrdiff_t pq_conn_alpn(pq_conn *conn,
                       char *out,
                       size_t len);

// On a server: the name that the client asked for, as a C string cut to fit. Returns its whole
// length, 0 if it gave none.
ptrdiff_t pq_conn_server_name(pq_conn *conn, char *out, size_t len);

// What a code means, in a few words. Never NULL; not to be freed.
const char *pq_error_text(int code);

// What happened to the last call of this thread that failed. Never NULL; valid until the thread's
// next call that fails.
const char *pq_last_error(void);

// The library's version, such as "0.1.0".
const char *pq_version(void);

// Opens a stream and returns its ID. PQ_ERR_STREAM_LIMIT if the peer allows no more:
// PQ_EVENT_STREAMS_AVAILABLE tells when it does.
int64_t pq_stream_open(pq_conn *conn, bool bidirectional);

// Writes the front of `data` as far as there is room, and returns how many bytes that is; `fin` ends
// the stream once all was taken. The next stream of ours is opened by writing to it. PQ_ERR_DONE if
// there is no room: the stream will be among the writable ones. PQ_ERR_STREAM_STOPPED puts the
// peer's code into `code`, which may be NULL.
ptrdiff_t pq_stream_send(pq_conn *conn,
                         uint64_t id,
                         const uint8_t *data,
                         size_t len,
                         bool fin,
                         uint64_t *code);

// Reads into `out` and returns how many bytes; `fin` is set if the stream ends with them.
// PQ_ERR_DONE if there is nothing now. PQ_ERR_STREAM_RESET puts the peer's code into `code`, which
// may be NULL.
ptrdiff_t pq_stream_recv(pq_conn *conn,
                         uint64_t id,
                         uint8_t *out,
                         size_t len,
                         bool *fin,
                         uint64_t *code);

// The first stream after `after` (PQ_NO_STREAM: of all) with something to read: data, an end or a
// reset. PQ_ERR_DONE if there is none.
int64_t pq_conn_next_readable(pq_conn *conn, uint64_t after);

// The first stream after `after` (PQ_NO_STREAM: of all) that has room to be written to: it was just
// opened, or had none when it was last written to. PQ_ERR_DONE if there is none.
int64_t pq_conn_next_writable(pq_conn *conn, uint64_t after);

// How many bytes there is room for on a stream.
ptrdiff_t pq_stream_capacity(pq_conn *conn, uint64_t id);

// Gives our part of a stream up: what is not delivered is dropped.
int pq_stream_reset(pq_conn *conn, uint64_t id, uint64_t code);

// Asks the peer to give its part of a stream up; nothing of it will be read.
int pq_stream_stop(pq_conn *conn, uint64_t id, uint64_t code);

// Ranks a stream's data against that of others (RFC 9218): urgency 0, the highest, to 7.
int pq_stream_priority(pq_conn *conn, uint64_t id, uint8_t urgency, bool incremental);

// Queues a datagram. PQ_ERR_NOT_SUPPORTED if the peer takes none.
int pq_dgram_send(pq_conn *conn, const uint8_t *data, size_t len);

// Takes the oldest datagram that has come, and returns its length. PQ_ERR_DONE if there is none;
// PQ_ERR_BUFFER_TOO_SHORT leaves it where it is.
ptrdiff_t pq_dgram_recv(pq_conn *conn, uint8_t *out, size_t len);

// How many bytes a datagram may have now. PQ_ERR_NOT_SUPPORTED if the peer takes none.
ptrdiff_t pq_dgram_max_size(pq_conn *conn);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROTOQUIC_H */
