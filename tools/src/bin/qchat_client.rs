//! `qchat_client`: sends something to a `qchat_server` and shows what comes back.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use protoquic::crypto::ClientTls;
use protoquic::readers::{BusyPoll, Waker};
use protoquic::{Config, MemorySessionCache, Session};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, resolve};
use protoquic_tools::qchat::client::{ChatClient, ChatPlan, ChatReport, Show};
use protoquic_tools::qchat::dialogue::Dialogue;
use protoquic_tools::qchat::{ALPN, DEFAULT_WINDOW, Message, Say, codes};
use protoquic_tools::trust::server_trust;
use protoquic_tools::{arguments, qchat};
use rustls_pki_types::ServerName;

/// Sends a message to a qchat_server and shows its echo.
///
/// The echo goes to standard output, what happens to standard error. It is checked: an echo that is
/// late, short or wrong makes the program fail.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The server's name or address.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The server's port.
    #[arg(long, default_value_t = 4443)]
    port: u16,
    /// What to send.
    #[arg(long, default_value = "hello over quic\n", conflicts_with_all = ["bytes", "interactive"])]
    msg: String,
    /// Sends so many bytes of a pattern instead, and does not show them.
    #[arg(long, conflicts_with = "interactive")]
    bytes: Option<u64>,
    /// Sends the lines that are typed, and shows how long each was away.
    #[arg(long, short)]
    interactive: bool,
    /// Gives up when no more of the echo has come for so many seconds.
    #[arg(long, default_value_t = 3.0, value_parser = patience)]
    wait: f64,
    /// Abandons the stream once so many bytes have come back.
    #[arg(long, conflicts_with = "interactive")]
    abort_after: Option<u64>,
    /// Connects so often, one connection after the other. Those after the first resume the session
    /// of the one before, and send the message as early data.
    #[arg(long, default_value_t = 1, conflicts_with = "interactive", value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// How many bytes of a stream may be on their way to us at a time. More on long, fast paths.
    #[arg(long, default_value_t = DEFAULT_WINDOW, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    window: u64,
    /// Sends nothing before the handshake is complete.
    #[arg(long)]
    no_early_data: bool,
    /// Authorities to verify the server's certificate by, in PEM; the system's otherwise.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Believes any certificate: for servers of one's own.
    #[arg(long)]
    disable_certificate_verification: bool,
    /// Says nothing but the echo.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("qchat_client", || {
        let options = options(&arguments)?;
        if arguments.interactive {
            return talk(&options, say(&arguments));
        }
        for _ in 0..arguments.times {
            let report = send(&arguments, &options)?;
            if !arguments.quiet {
                tell(&report);
            }
        }
        Ok(())
    })
}

/// What every connection of this run has in common: above all what it remembers of the server.
fn options(arguments: &Arguments) -> Result<ClientOptions, String> {
    let any = arguments.disable_certificate_verification;
    let trust = server_trust(any, arguments.ca_file.as_deref())?;
    let alpn = vec![ALPN.to_vec()];
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let tls = tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let config = Config {
        early_data: !arguments.no_early_data,
        streams: qchat::windows(arguments.window),
        session_cache: Some(Arc::new(MemorySessionCache::new())),
        ..Config::default()
    };
    let server_name = ServerName::try_from(arguments.host.clone())
        .map_err(|error| format!("{} is no name of a server: {error}", arguments.host))?;
    let address = resolve(&arguments.host, arguments.port)?;
    let (config, tls) = (Arc::new(config), Arc::new(tls));
    Ok(ClientOptions {
        server_name,
        address,
        config,
        tls,
        qlog: None,
        busy_poll: BusyPoll::default(),
    })
}

fn say(arguments: &Arguments) -> Say {
    let quiet = arguments.quiet;
    Rc::new(move |line| {
        if !quiet {
            eprintln!("{line}");
        }
    })
}

/// One connection, one message.
fn send(arguments: &Arguments, options: &ClientOptions) -> Result<ChatReport, String> {
    let message = arguments
        .bytes
        .map_or_else(|| Message::text(arguments.msg.clone().into()), Message::pattern);
    let show: Show = match arguments.bytes {
        Some(_) => Box::new(|_| {}),
        None => Box::new(show),
    };
    let patience = Duration::from_secs_f64(arguments.wait);
    let (abort_after, say) = (arguments.abort_after, say(arguments));
    let plan = ChatPlan { message, patience, abort_after, say, show };
    let mut client = ClientEndpoint::connect(options.clone(), |_| ChatClient::new(plan))?;
    while client.session().outcome().is_none() {
        client.run_once(None)?;
    }
    close(&mut client)?;
    client.session().outcome().cloned().unwrap_or_else(|| Err("it did not end".to_owned()))
}

/// Ends the connection, and waits for the callback that says that it is over.
fn close<S: Session>(client: &mut ClientEndpoint<S>) -> Result<(), String> {
    client.close(codes::DONE, "goodbye");
    while client.close_reason().is_none() {
        client.run_once(None)?;
    }
    Ok(())
}

fn tell(report: &ChatReport) {
    let ChatReport { echoed, elapsed, early } = report;
    let seconds = elapsed.as_secs_f64();
    let rate = *echoed as f64 / seconds / 1e6;
    let how = if *early { " with early data" } else { "" };
    eprintln!("{echoed} bytes came back in {:.3} ms{how}, {rate:.1} MB/s", seconds * 1e3);
}

fn show(echo: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(echo).and_then(|()| out.flush()); // nobody may be reading
}

/// Lines from standard input, until it ends.
fn talk(options: &ClientOptions, say: Say) -> Result<(), String> {
    let show_line = |line: &[u8], away: Duration| {
        let line = String::from_utf8_lossy(line);
        show(format!("{:9.3} ms  {}\n", away.as_secs_f64() * 1e3, line.trim_end()).as_bytes());
    };
    let make = |_| Dialogue::new(say, Box::new(show_line));
    let mut client = ClientEndpoint::connect(options.clone(), make)?;
    let (sender, lines) = sync_channel(WAITING_LINES);
    let waker = client.waker();
    std::thread::spawn(move || {
        read_lines(&sender, &waker);
        drop(sender); // which is how the end is told
        waker.wake()
    });
    if std::io::stdin().is_terminal() {
        eprintln!("type lines; end with Ctrl-D");
    }
    let mut typing = true;
    while client.session().outcome().is_none() {
        client.run_once(None)?;
        while typing && client.session().has_room() {
            match next_line(&lines) {
                Ok(Some(line)) => client.enter(|dialogue, cx| dialogue.send(line, cx)),
                Ok(None) => break,
                Err(End) => {
                    typing = false;
                    client.enter(Dialogue::finish);
                }
            }
        }
    }
    close(&mut client)?;
    client.session().outcome().cloned().unwrap_or(Ok(()))
}

/// There are no more lines.
struct End;

fn next_line(lines: &Receiver<Bytes>) -> Result<Option<Bytes>, End> {
    match lines.try_recv() {
        Ok(line) => Ok(Some(line)),
        Err(TryRecvError::Empty) => Ok(None),
        Err(TryRecvError::Disconnected) => Err(End),
    }
}

/// A thread of its own waits for the terminal, and wakes the event loop with what it brings.
fn read_lines(sender: &SyncSender<Bytes>, waker: &Waker) {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let mut limited = input.by_ref().take(MAX_LINE);
        match limited.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) if sender.send(line.into()).is_err() => return, // the program is over
            Ok(_) => drop(waker.wake()),
        }
    }
}

fn patience(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("it must be from 0.001 to 1000000 seconds".to_owned()),
    }
}

/// How many lines wait to be sent; the terminal keeps the rest.
const WAITING_LINES: usize = 64;
/// Longer lines are cut into pieces of this many bytes.
const MAX_LINE: u64 = 16 * 1024;
