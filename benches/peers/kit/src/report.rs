//! What a measurement came to, in words or as the JSON that `quic_perf` prints.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{Client, Mode};

/// Counts request loops.
#[derive(Debug)]
pub struct Loops {
    latency: Histogram<u32>,
}

impl Default for Loops {
    fn default() -> Self {
        let latency =
            Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in range");
        Self { latency }
    }
}

impl Loops {
    /// One answer came after so long.
    pub fn record(&mut self, latency: Duration) {
        self.latency.saturating_record(latency.as_micros() as u64);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.latency.len()
    }

    /// Adds what another task counted.
    pub fn add(&mut self, other: &Self) {
        self.latency
            .add(&other.latency)
            .expect("both have the same bounds");
    }
}

/// Prints what a bulk transfer came to.
pub fn report_bulk(client: &Client, elapsed: Duration) {
    let (bytes, seconds) = (client.bytes(), elapsed.as_secs_f64());
    let mode = if client.mode == Mode::Up {
        "up"
    } else {
        "down"
    };
    let gbps = bytes as f64 * 8.0 / seconds / 1e9;
    if client.json {
        println!(
            "{{\"mode\":\"{mode}\",\"streams\":{},\"bytes\":{bytes},\"seconds\":{seconds:.6},\
             \"gbps\":{gbps:.4}}}",
            client.streams
        );
    } else {
        println!("{bytes} bytes {mode} in {seconds:.3} s: {gbps:.3} Gbit/s");
    }
}

/// Prints what request loops came to.
pub fn report_requests(client: &Client, loops: &Loops, elapsed: Duration) {
    let (count, seconds) = (loops.count(), elapsed.as_secs_f64());
    let per_second = count as f64 / seconds;
    let [median, p99] = [0.5, 0.99].map(|quantile| loops.latency.value_at_quantile(quantile));
    if client.json {
        println!(
            "{{\"mode\":\"rps\",\"streams\":{},\"requests\":{count},\"seconds\":{seconds:.6},\
             \"rps\":{per_second:.1},\"median_us\":{median},\"p99_us\":{p99}}}",
            client.streams
        );
    } else {
        println!(
            "{count} requests, {} at a time, in {seconds:.3} s: {per_second:.0}/s, half of them \
             within {median} us, 99 % within {p99} us",
            client.streams
        );
    }
}

/// Prints what handshakes came to.
pub fn report_handshakes(client: &Client, count: u64, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let per_second = count as f64 / seconds;
    if client.json {
        println!(
            "{{\"mode\":\"hs\",\"parallel\":{},\"handshakes\":{count},\"seconds\":{seconds:.6},\
             \"hps\":{per_second:.1}}}",
            client.connections
        );
    } else {
        println!(
            "{count} handshakes, {} at a time, in {seconds:.3} s: {per_second:.0}/s",
            client.connections
        );
    }
}
