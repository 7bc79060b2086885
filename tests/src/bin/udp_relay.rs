//! A bad network for any UDP programs: loss, delay, reordering, duplication, a rate.
//!
//! Prints `listening on ADDR:PORT` when it is ready. Ends when its standard input does,
//! so that it never outlives the test that started it, and then says what it did.

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use protoquic_tests::relay::{Conditions, Relay, Tally};

const USAGE: &str = "\
usage: udp_relay --to ADDR:PORT [options]      ends when its standard input does
  --listen ADDR:PORT   where clients come (127.0.0.1:0)
  --to ADDR:PORT       the server
  --loss P             percent of datagrams dropped (0)
  --duplicate P        percent of datagrams sent twice (0)
  --reorder P          percent of datagrams held back (0)
  --reorder-delay MS   how long those are held back (a quarter of the delay, at least 1)
  --delay MS           one-way delay (0)
  --jitter MS          up to this much more delay (0)
  --rate MBIT          Mbit/s of each direction (unlimited)
  --queue MS           wait for the rate beyond which datagrams are dropped (100)
  --seed N             what all chance follows from (1)
Every option counts for each direction.";

struct Options {
    listen: SocketAddr,
    to: SocketAddr,
    conditions: Conditions,
    seed: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = parse(std::env::args().skip(1)).map_err(|why| format!("{why}\n{USAGE}"))?;
    let relay = Relay::start(options.listen, options.to, options.conditions, options.seed)?;
    println!("listening on {}", relay.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let (to_server, to_client) = relay.tallies();
    println!("to server: {}", describe(to_server));
    println!("to client: {}", describe(to_client));
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut to = None;
    let mut seed = 1;
    let mut reorder_delay = None;
    let mut conditions = Conditions { queue: Duration::from_millis(100), ..Conditions::default() };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.replace('_', "-").as_str() {
            "--listen" => listen = value.parse()?,
            "--to" => to = Some(value.parse()?),
            "--loss" => conditions.loss = share(&value)?,
            "--duplicate" => conditions.duplicate = share(&value)?,
            "--reorder" => conditions.reorder = share(&value)?,
            "--reorder-delay" => reorder_delay = Some(milliseconds(&value)?),
            "--delay" => conditions.delay = milliseconds(&value)?,
            "--jitter" => conditions.jitter = milliseconds(&value)?,
            "--rate" => conditions.rate = Some(value.parse::<u64>()?.saturating_mul(125_000)),
            "--queue" => conditions.queue = milliseconds(&value)?,
            "--seed" => seed = value.parse()?,
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    conditions.reorder_delay =
        reorder_delay.unwrap_or((conditions.delay / 4).max(Duration::from_millis(1)));
    Ok(Options { listen, to: to.ok_or("--to is missing")?, conditions, seed })
}

fn share(percent: &str) -> Result<f64, Box<dyn Error>> {
    let percent: f64 = percent.parse()?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err(format!("{percent} is not a percentage").into())
    }
}

fn milliseconds(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::try_from_secs_f64(text.parse::<f64>()? / 1000.0)?)
}

fn describe(tally: Tally) -> String {
    format!(
        "{} datagrams, {} lost, {} duplicated, {} reordered, {} overflowed",
        tally.received, tally.lost, tally.duplicated, tally.reordered, tally.overflowed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split_whitespace().map(str::to_owned)
    }

    #[test]
    fn options_are_percent_and_milliseconds() {
        let options =
            parse(words("--to 127.0.0.1:443 --loss 5 --delay 20 --rate 8 --seed 9")).unwrap();
        assert!((options.conditions.loss - 0.05).abs() < 1e-9);
        assert_eq!(options.conditions.delay, Duration::from_millis(20));
        assert_eq!(options.conditions.reorder_delay, Duration::from_millis(5));
        assert_eq!(options.conditions.rate, Some(1_000_000));
        assert_eq!(options.seed, 9);
    }

    #[test]
    fn bad_options_are_refused() {
        for line in ["", "--to", "--to here", "--to 127.0.0.1:1 --loss 101", "--what 1"] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
    }
}
