//! `quic_live_client`: watches the broadcast of a `quic_live_server`.

use std::cell::RefCell;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Parser;
use protoquic::Config;
use protoquic::crypto::ClientTls;
use protoquic::readers::BusyPoll;
use protoquic_tools::endpoint::{ClientOptions, resolve};
use protoquic_tools::known_certificate::trust_known;
use protoquic_tools::live::{
    ALPN, Chart, Crowd, Csv, Destination, Log, MAX_PARITY, Mode, Output, Request, Say, Skip, Table,
    Viewer, ViewerPlan, viewer_transport,
};
use protoquic_tools::{arguments, trust};
use rustls_pki_types::ServerName;

/// Watches live video and writes it to standard output, for a player:
/// `quic_live_client -a ADDR -p PORT -c CERT | ffplay -i pipe:0`.
///
/// Nothing but the video goes to standard output; the numbers go to standard error. Late is what
/// comes after the deadline; a missing frame is waited for twice as long.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The server's name or address.
    #[arg(short = 'a', long = "address", default_value = "127.0.0.1")]
    address: String,
    /// The server's UDP port.
    #[arg(short = 'p', long, default_value_t = 4433)]
    port: u16,
    /// The server's certificate, or its authority's, in PEM; the system's authorities otherwise.
    #[arg(short = 'c', long)]
    cert: Option<PathBuf>,
    /// Believes any certificate: for servers of one's own.
    #[arg(long, conflicts_with = "cert")]
    disable_certificate_verification: bool,
    /// Where the video goes; - is standard output. Of several viewers each has a file, with its
    /// number at the end.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
    /// A file for a line about everything that happens; standard error otherwise.
    #[arg(short = 'l', long)]
    log: Option<PathBuf>,
    /// How frames travel: stream, frames or datagrams.
    #[arg(long, default_value = "stream")]
    mode: Mode,
    /// After how many milliseconds a frame is late.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline: u64,
    /// Parity for datagrams, in percent of the video: so much may be lost of each frame.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=MAX_PARITY))]
    parity: u64,
    /// Asks for at most so many kbit/s; the server leaves frames out. 0 is no limit.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    bitrate: u64,
    /// Asks to leave frames out: nothing, disposable or all-but-keys.
    #[arg(long, default_value = "nothing")]
    skip: Skip,
    /// After a loss, has the server send nothing before the next key frame: no broken pictures.
    #[arg(long)]
    recover: bool,
    /// Takes commands from standard input: pause, resume, key, bitrate KBIT, skip WHAT, quit.
    #[arg(long)]
    interactive: bool,
    /// Watches for so many seconds, then leaves.
    #[arg(long, value_parser = seconds)]
    duration: Option<Duration>,
    /// How many viewers to be at once, in one thread: to measure.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    viewers: u64,
    /// A file for a row about every frame.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// A file for a picture (SVG) of latency, goodput and losses over time.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Prints no table.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    qlog: arguments::QlogArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("quic_live_client", || watch(&arguments))
}

/// Where a run's results go.
struct Journal {
    say: Say,
    csv: Option<Csv>,
    chart: Option<Rc<RefCell<Chart>>>,
    outputs: Vec<Rc<RefCell<Output>>>,
}

fn watch(arguments: &Arguments) -> Result<(), String> {
    let mut journal = Journal {
        say: Log::create(arguments.log.as_deref())?.say(arguments.quiet),
        csv: arguments.csv.as_deref().map(Csv::create).transpose()?,
        chart: arguments.plot.as_ref().map(|_| Rc::new(RefCell::new(chart(arguments)))),
        outputs: Vec::new(),
    };
    if let Some(path) = &arguments.plot {
        Chart::begin(path).map_err(|error| error.to_string())?;
    }
    let mut crowd = Crowd::open(options(arguments)?)?;
    for number in 0..arguments.viewers {
        crowd.add(Viewer::new(plan(arguments, number as usize, &mut journal)?))?;
    }
    let waker = crowd.waker();
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::SeqCst);
        let _ = waker.wake(); // the loop also looks by itself
    })
    .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    run(arguments, &mut crowd, &interrupted)?;
    report(arguments, &crowd, &journal)
}

/// Watches until the last viewer has left.
fn run(arguments: &Arguments, crowd: &mut Crowd, interrupted: &AtomicBool) -> Result<(), String> {
    let deadline = Duration::from_millis(arguments.deadline);
    let commands = arguments.interactive.then(|| read_commands(crowd));
    let mut table = Table::new(deadline);
    let mut next_row = ROW;
    let mut stopping = false;
    while crowd.watching() > 0 {
        crowd.turn(TURN)?;
        let mut lines = commands.iter().flat_map(Receiver::try_iter);
        let quits = lines.any(|line| obey(&line, crowd));
        if (interrupted.load(Ordering::SeqCst) || quits) && !std::mem::replace(&mut stopping, true)
        {
            crowd.for_each(Viewer::stop);
        }
        if !arguments.quiet && crowd.elapsed() >= next_row {
            next_row = crowd.elapsed() + ROW;
            eprintln!("{}", table.row(crowd.elapsed(), crowd.watching(), &crowd.measure(deadline)));
        }
    }
    Ok(())
}

/// A thread of its own waits for lines, and wakes the event loop with each.
fn read_commands(crowd: &Crowd) -> Receiver<String> {
    let (sender, lines) = channel();
    let waker = crowd.waker();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() || waker.wake().is_err() {
                break; // the program is over
            }
        }
    });
    lines
}

/// Does what was typed. Returns whether it was to quit.
fn obey(line: &str, crowd: &mut Crowd) -> bool {
    match line.trim() {
        "" => return false,
        "quit" => return true,
        line => match line.parse::<Request>() {
            Ok(request) => crowd.for_each(|viewer, cx| viewer.request(request, cx)),
            Err(why) => eprintln!("{why}"),
        },
    }
    false
}

/// Writes down what there is.
fn report(arguments: &Arguments, crowd: &Crowd, journal: &Journal) -> Result<(), String> {
    let deadline = Duration::from_millis(arguments.deadline);
    let viewers = arguments.viewers as usize;
    let measure = crowd.measure(deadline);
    let total = Table::total(crowd.elapsed(), viewers, &measure);
    let mut lines = vec![format!("in total, mode {}:\n{total}", arguments.mode)];
    if viewers > 1 {
        lines.push(crowd.worst_on_time().map_or_else(
            || "no viewer got a frame".to_owned(),
            |share| format!("the worst viewer had {share:.2} % on time"),
        ));
    }
    if arguments.mode == Mode::Datagrams {
        lines.push(format!("{} frames were whole by parity", crowd.reassembly().repaired));
    }
    for line in &lines {
        (journal.say)(line);
        if arguments.log.is_some() && !arguments.quiet {
            eprintln!("{line}");
        }
    }
    for output in &journal.outputs {
        let dropped = output.borrow_mut().close()?;
        if dropped > 0 {
            (journal.say)(&format!("{dropped} frames were not shown: the player was too slow"));
        }
    }
    journal.csv.as_ref().map(Csv::finish).transpose()?;
    if let Some((path, chart)) = arguments.plot.as_ref().zip(journal.chart.as_ref()) {
        chart.borrow().write(path).map_err(|error| error.to_string())?;
    }
    crowd.failure().map_or(Ok(()), |why| Err(why.to_owned()))
}

/// What one viewer does.
fn plan(arguments: &Arguments, number: usize, journal: &mut Journal) -> Result<ViewerPlan, String> {
    let output = Rc::new(RefCell::new(Output::open(&destination(arguments, number))?));
    journal.outputs.push(Rc::clone(&output));
    let (csv, chart) = (journal.csv.clone(), journal.chart.clone());
    let mut requests = Vec::new();
    if arguments.bitrate > 0 {
        requests.push(Request::Bitrate(arguments.bitrate * 1000));
    }
    if arguments.skip != Skip::Nothing {
        requests.push(Request::Skip(arguments.skip));
    }
    let say = Rc::clone(&journal.say);
    let many = arguments.viewers > 1;
    Ok(ViewerPlan {
        mode: arguments.mode,
        deadline: Duration::from_millis(arguments.deadline),
        parity: arguments.parity,
        requests,
        recover: arguments.recover,
        duration: arguments.duration,
        say: if many { Rc::new(move |line| say(&format!("viewer {number}: {line}"))) } else { say },
        show: Box::new(move |frame, kind| output.borrow_mut().show(frame, kind)),
        record: Box::new(move |record| {
            if let Some(csv) = &csv {
                csv.write(number, record);
            }
            if let Some(chart) = &chart {
                chart.borrow_mut().add(record);
            }
        }),
    })
}

fn destination(arguments: &Arguments, number: usize) -> Destination {
    let many = arguments.viewers > 1;
    match arguments.output.as_deref() {
        None if many => Destination::Nowhere,
        None => Destination::Stdout,
        Some(path) if path == Path::new("-") => Destination::Stdout,
        Some(path) if many => {
            let mut path = path.as_os_str().to_owned();
            path.push(format!(".{number}"));
            Destination::File(path.into())
        }
        Some(path) => Destination::File(path.to_owned()),
    }
}

fn chart(arguments: &Arguments) -> Chart {
    let Arguments { mode, viewers, parity, deadline, .. } = arguments;
    let parity =
        if *mode == Mode::Datagrams { format!(", parity {parity} %") } else { String::new() };
    let title = format!("mode {mode}{parity}, {viewers} viewers");
    Chart::new(title, Duration::from_millis(*deadline), *viewers as usize)
}

/// What every connection of this run has in common.
fn options(arguments: &Arguments) -> Result<ClientOptions, String> {
    let any = arguments.disable_certificate_verification || arguments.cert.is_some();
    let trust = trust::server_trust(any, None)?;
    let alpn = vec![ALPN.to_vec()];
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let mut tls = tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    if let Some(path) = &arguments.cert {
        trust_known(&mut tls, path)?;
    }
    let server_name = ServerName::try_from(arguments.address.clone())
        .map_err(|error| format!("{} is no name of a server: {error}", arguments.address))?;
    let address = resolve(&arguments.address, arguments.port)?;
    let config: Arc<Config> = Arc::new(viewer_transport());
    Ok(ClientOptions {
        server_name,
        address,
        config,
        tls: Arc::new(tls),
        qlog: arguments.qlog.folder()?,
        busy_poll: BusyPoll::default(),
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=1e7).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("it must be from 0.1 to 10000000 seconds".to_owned()),
    }
}

/// Between two rows of the table.
const ROW: Duration = Duration::from_secs(1);
/// How long a turn of the event loop waits at most.
const TURN: Duration = Duration::from_millis(200);
