//! docs/proto-quic.md is true: whatever it says is here, is there; and it leaves nothing out that a
//! guide to proto-quic names.

use std::fs;
use std::path::{Path, PathBuf};

/// A row of the tables.
struct Row {
    line: usize,
    theirs: String,
    /// The names in the second column.
    ours: Vec<String>,
    /// The files in the third.
    files: Vec<String>,
    why: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the project").to_owned()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Where links lead, seen from the project's root.
fn links(cell: &str) -> Vec<String> {
    let ends = cell.split("](../").skip(1);
    ends.filter_map(|rest| rest.split_once(')')).map(|(file, _)| file.to_owned()).collect()
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/proto-quic.md")).expect("the page is there");
    let mut rows = Vec::new();
    for (line, text) in page.lines().enumerate() {
        if !text.starts_with('|') || text.starts_with("|---") || text.starts_with("| proto-quic") {
            continue;
        }
        let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
        let [theirs, ours, files, why] = cells[..] else {
            panic!("line {}: a row has four cells", line + 1);
        };
        let (ours, files) = (quoted(ours), links(files));
        let (theirs, why) = (theirs.to_owned(), why.to_owned());
        rows.push(Row { line: line + 1, theirs, ours, files, why });
    }
    rows
}

/// Whether `text` has this name as a word of its own, and `like` says yes to what is before and
/// after it on its line.
fn has(text: &str, name: &str, like: impl Fn(&str, &str) -> bool) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            !before.ends_with(part_of_a_name)
                && !after.starts_with(part_of_a_name)
                && like(before, after)
        })
    })
}

/// Whether a source defines this: an item, a field or a variant.
fn defines(text: &str, name: &str) -> bool {
    const ITEMS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "const"];
    has(text, name, |before, after| {
        let word = before.split_whitespace().last().unwrap_or_default();
        let is_item = before.ends_with(' ') && ITEMS.contains(&word);
        let visibility = before.trim();
        let is_first = visibility.is_empty() || visibility.starts_with("pub");
        is_item || (is_first && after.starts_with([':', ',', '(', ' ']))
    })
}

#[test]
fn every_name_of_the_table_is_in_the_source() {
    let mut wrong = Vec::new();
    for row in rows() {
        let mut text = String::new();
        for file in &row.files {
            match fs::read_to_string(root().join(file)) {
                Ok(content) => text.push_str(&content),
                Err(error) => wrong.push(format!("line {}: {file}: {error}", row.line)),
            }
        }
        if row.ours.is_empty() || row.files.is_empty() {
            wrong.push(format!("line {}: no counterpart", row.line));
        }
        for name in &row.ours {
            let mut parts: Vec<_> = name.split("::").collect();
            let last = parts.pop().unwrap_or_default();
            let is_program = row.files.iter().any(|file| file.ends_with(&format!("bin/{last}.rs")));
            if !is_program && !defines(&text, last) {
                wrong.push(format!("line {}: {name} is not defined there", row.line));
            }
            for owner in parts.into_iter().filter(|owner| !has(&text, owner, |_, _| true)) {
                wrong.push(format!("line {}: there is no {owner}", row.line));
            }
        }
        for name in quoted(&row.why).iter().filter(|name| name.contains("::")) {
            let last = name.rsplit("::").next().unwrap_or_default();
            if !is_somewhere(&root(), last) {
                wrong.push(format!("line {}: {name} is nowhere", row.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether any source file defines this.
fn is_somewhere(folder: &Path, name: &str) -> bool {
    let entries = fs::read_dir(folder).expect("the folder can be read").flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            return file != "target" && !file.starts_with('.') && is_somewhere(&path, name);
        }
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        is_source && fs::read_to_string(&path).is_ok_and(|text| defines(&text, name))
    })
}

#[test]
fn the_table_leaves_nothing_out() {
    let theirs: String = rows().into_iter().map(|row| row.theirs + "\n").collect();
    let missing: Vec<_> = NAMED.iter().filter(|name| !has(&theirs, name, |_, _| true)).collect();
    assert!(missing.is_empty(), "the guide names these too: {missing:?}");
}

/// The classes, interfaces, methods and constants of proto-quic that a guide to writing an endpoint
/// with it names, in its order.
const NAMED: &[&str] = &[
    "QuicClientPushPromiseIndex",
    "push_promise_index",
    "Try",
    "TryHandle",
    "QuicAsyncStatus",
    "QuicChromiumPacketReader",
    "QuicSimpleClient",
    "IPEndPoint",
    "QuicServerId",
    "QuicVersionVector",
    "supported_versions",
    "ProofVerifier",
    "QuicConfig",
    "QuicClientBase",
    "CreateQuicConnectionHelper",
    "CreateQuicAlarmFactory",
    "set_server_address",
    "Initialize",
    "kSessionMaxRecvWindowSize",
    "kStreamMaxRecvWindowSize",
    "CreateUDPSocketAndBind",
    "bind_to_address_",
    "local_port_",
    "IPAddress",
    "UDPClientSocket",
    "DatagramSocket",
    "NetLogSource",
    "Connect",
    "SetReceiveBufferSize",
    "kDefaultSocketReceiveBuffer",
    "SetSendBufferSize",
    "GetLocalAddress",
    "kQuicYieldAfterPacketsRead",
    "QuicTime",
    "kQuicYieldAfterDurationMilliseconds",
    "NetLogWithSource",
    "OnReadError",
    "QuicReceivedPacket",
    "QuicClock",
    "yield_after_packets",
    "yield_after_duration",
    "connected",
    "GetNumSentClientHellos",
    "QuicCryptoClientStream",
    "kMaxClientHellos",
    "StartConnect",
    "EncryptionBeingEstablished",
    "WaitForEvents",
    "ResendSavedData",
    "set_connection_error",
    "QuicPacketWriter",
    "CreateQuicPacketWriter",
    "ClearDataToResend",
    "UpdateStats",
    "CreateQuicClientSession",
    "QuicConnection",
    "GetNextConnectionId",
    "Perspective",
    "set_writer",
    "QuicClientSession",
    "CryptoConnect",
    "set_connected_or_attempting_connect",
    "QuicChromiumPacketWriter",
    "crypto_config_",
    "initial_max_packet_length_",
    "SetMaxPacketLength",
    "SendRequest",
    "SpdyHeaderBlock",
    "AddPromiseDataToResend",
    "QuicSpdyClientStream",
    "CreateReliableClientStream",
    "MaybeAddDataToResend",
    "CreateOutgoingDynamicStream",
    "kDefaultPriority",
    "set_visitor",
    "SpdyPriority",
    "ShouldCreateOutgoingDynamicStream",
    "CreateClientStream",
    "SetPriority",
    "ActivateStream",
    "GetNextOutgoingStreamId",
    "QuicSession",
    "ReliableQuicStream",
    "QuicStreamId",
    "dynamic_stream_map_",
    "static_stream_map_",
    "IsIncomingStream",
    "num_dynamic_incoming_streams_",
    "SetNumOpenStreams",
    "header_bytes_written_",
    "WriteHeaders",
    "WriteOrBufferData",
    "RunEventLoop",
    "num_active_requests",
    "StartPacketReaderIfNotStarted",
    "RunUntilIdle",
    "StartReading",
    "OnReadComplete",
    "PostTask",
    "GetPeerAddress",
    "ProcessUdpPacket",
    "debug_visitor_",
    "OnPacketReceived",
    "last_packet_destination_address_",
    "last_packet_source_address_",
    "receipt_time",
    "ScopedRetransmissionScheduler",
    "ProcessPacket",
    "encryption_level_",
    "undecryptable_packets_",
    "max_undecryptable_packets_",
    "QueueUndecryptablePacket",
    "OnUndecryptablePacket",
    "active_peer_migration_type_",
    "sent_packet_manager_",
    "GetLargestObserved",
    "OnPeerMigrationValidated",
    "MaybeProcessUndecryptablePackets",
    "MaybeSendInResponseToPacket",
    "SetPingAlarm",
    "OnClose",
    "QuicSpdyStream",
    "response_headers",
    "response_listener_",
    "OnCompleteResponse",
    "store_response_",
    "latest_response_code_",
    "latest_response_headers_",
    "latest_response_header_block_",
    "latest_response_body_",
    "latest_response_trailers_",
    "received_trailers",
    "QuicDispatcher",
    "QuicSimpleServer",
    "ProofSource",
    "QuicCryptoServerConfig",
    "version_manager_",
    "QuicChromiumConnectionHelper",
    "QuicRandom",
    "QuicChromiumAlarmFactory",
    "kSourceAddressTokenSecret",
    "synchronous_read_count_",
    "IOBufferWithSize",
    "kReadBufferSize",
    "kInitialSessionFlowControlWindow",
    "kInitialStreamFlowControlWindow",
    "CryptoHandshakeMessage",
    "AddDefaultConfig",
    "GetRandomGenerator",
    "GetClock",
    "Listen",
    "UDPServerSocket",
    "AllowAddressReuse",
    "kMaxPacketSize",
    "QuicSimpleDispatcher",
    "QuicConnectionHelperInterface",
    "QuicCryptoServerStream",
    "QuicSimpleServerSessionHelper",
    "QuicAlarmFactory",
    "QuicSimpleServerPacketWriter",
    "InitializeWithWriter",
    "QuicTimeWaitListManager",
    "QuicBufferedPacketStore",
    "ProcessBufferedChlos",
    "kNumSessionsToCreatePerSocketEvent",
    "RecvFrom",
    "HasChlosBuffered",
    "Shutdown",
    "OnUnauthenticatedPublicHeader",
    "OnUnauthenticatedHeader",
    "QuicFramer",
    "QuicEncryptedPacket",
    "QuicDataReader",
    "QuicPacketPublicHeader",
    "ProcessPublicHeader",
    "detailed_error_",
    "RaiseError",
    "OnProtocolVersionMismatch",
    "ProcessVersionNegotiationPacket",
    "ProcessPublicResetPacket",
    "ProcessDataPacket",
    "QuicConnectionId",
    "SessionMap",
    "session_map_",
    "buffered_packets_",
    "HasBufferedPackets",
    "HasChloForConnection",
    "BufferEarlyPacket",
    "QuicSimpleServerSession",
    "CreateIncomingDynamicStream",
    "ShouldCreateIncomingDynamicStream",
    "QuicSimpleServerStream",
    "OnDataAvailable",
    "HasBytesToRead",
    "GetReadableRegions",
    "content_length_",
    "SendErrorResponse",
    "MarkConsumed",
    "IsClosed",
    "SetUnblocked",
    "OnFinRead",
    "write_side_closed",
    "fin_buffered",
    "SendResponse",
    "WriteResult",
    "WritePacket",
    "PerPacketOptions",
    "IsWriteBlocked",
    "OnWriteComplete",
    "WriteStatus",
    "QuicPacketReader",
    "mmsg_hdr_",
    "kNumPacketsPerReadMmsgCall",
    "QuicSocketUtils",
    "kSpaceForCmsg",
    "ReadAndDispatchPackets",
    "ProcessPacketInterface",
    "QuicPacketCount",
    "packets_dropped",
    "ReadAndDispatchManyPackets",
    "ReadAndDispatchSinglePacket",
    "GetCryptoStream",
    "CreateQuicCryptoStream",
    "QuicClientSessionBase",
    "FlushBufferedFrames",
    "QuicPacketGenerator",
    "QuicFrameVisitorInterface",
    "QuicConnectionVisitorInterface",
    "EpollServer",
];
