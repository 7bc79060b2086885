//! Command lines as Chromium's tools take them: `--num_requests` and `--num-requests` are the same.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use protoquic::Clock;
use protoquic::readers::{BusyPoll, SystemClock};
use protoquic_qlog::QlogDirectory;

/// Parses this process's command line; ends it with help or an error if that is asked for.
pub fn parse<T: Parser>() -> T {
    T::parse_from(std::env::args_os().map(with_dashes))
}

/// Takes the name of a transport protocol where a program of several would.
pub fn quic_only(name: &str) -> Result<String, String> {
    if name.eq_ignore_ascii_case("quic") {
        Ok("QUIC".to_owned())
    } else {
        Err("QUIC is the only protocol here".to_owned())
    }
}

/// Where qlog files go.
#[derive(Clone, Debug, Default, Args)]
pub struct QlogArguments {
    /// A folder in which each connection gets a qlog file, made if it is not there. The files
    /// are of version 0.3, which qvis opens.
    #[arg(long, env = "QLOGDIR", value_name = "FOLDER")]
    qlog_dir: Option<PathBuf>,
}

impl QlogArguments {
    /// The folder; none if it was not named, or named by an empty variable.
    pub fn folder(&self) -> Result<Option<QlogDirectory>, String> {
        let named = self.qlog_dir.as_ref().filter(|path| !path.as_os_str().is_empty());
        let open = |path: &PathBuf| {
            QlogDirectory::new(path, || SystemClock::new().wall_now())
                .map(QlogDirectory::for_qvis)
                .map_err(|error| format!("no qlog files in {}: {error}", path.display()))
        };
        named.map(open).transpose()
    }
}

/// Whether an event loop polls before it sleeps.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct BusyPollArguments {
    /// For how many microseconds after a datagram to poll the socket before sleeping: answers come
    /// sooner, by the tens of microseconds that waking takes, for a processor that works all this
    /// time. Up to a second; 0 sleeps at once. Without it, up to 50 microseconds while answers come
    /// that soon, and not where there is only one processor.
    #[arg(
        long, value_name = "MICROS",
        value_parser = clap::value_parser!(u64).range(0..=1_000_000)
    )]
    busy_poll: Option<u64>,
}

impl BusyPollArguments {
    /// Whether and how long that is.
    pub fn rule(self) -> BusyPoll {
        self.busy_poll.map_or_else(BusyPoll::default, |time| Duration::from_micros(time).into())
    }
}

/// Replaces the underscores in the name of a `--long_flag`, not in its value.
fn with_dashes(argument: OsString) -> OsString {
    let Some(text) = argument.to_str().filter(|text| text.starts_with("--")) else {
        return argument;
    };
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let name = name.replace('_', "-");
    value.map_or_else(|| name.clone(), |value| format!("{name}={value}")).into()
}

/// Runs a tool: its error becomes one line on standard error and exit code 1.
pub fn run(tool: &str, main: impl FnOnce() -> Result<(), String>) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{tool}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_in_flag_names_are_dashes_and_values_stay() {
        let fixed = |text: &str| with_dashes(text.into()).into_string().unwrap();
        assert_eq!(fixed("--num_requests"), "--num-requests");
        assert_eq!(fixed("--ca_file=a_b.pem"), "--ca-file=a_b.pem");
        assert_eq!(fixed("some_value"), "some_value");
        assert_eq!(fixed("-n"), "-n");
    }
}
