//! [`Scenario`]: the network simulator's scenarios of the QUIC interop runner, from the strings in
//! which it gives them, as [lines](LinkConfig) and a [NAT](NatConfig). Its line: a queue and one
//! packet in the device, serialisation with two bytes of PPP, a fixed delay, and an error model at
//! the receiver, for each direction by itself. `--aqm=NAME` is ours: a queue that is managed. This
//! file must not know the simulator's workings.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::link::{Corruption, LinkConfig};
use super::loss::{Blackhole, Loss};
use super::nat::{NatConfig, Rebinding};
use super::queue::{Aqm, QueueConfig};
use super::simulator::Simulator;
use super::topology::NodeId;

/// A client's and a server's network.
///
/// ```
/// use protoquic_tests::sim::Scenario;
///
/// let scenario: Scenario =
///     "drop-rate --delay=15ms --bandwidth=10Mbps --queue=25 --rate_to_client=3 --rate_to_server=3"
///         .parse()?;
/// assert_eq!(scenario.to_client.bandwidth, Some(10_000_000));
/// # Ok::<(), protoquic_tests::sim::ScenarioError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The line to the client.
    pub to_client: LinkConfig,
    /// The line to the server.
    pub to_server: LinkConfig,
    /// Whether a NAT before the client rebinds.
    pub rebinding: Option<Rebinding>,
    /// Other traffic to the client, in bits a second, after 20 s (udp-cross-traffic).
    pub cross_traffic: Option<u64>,
}

/// A scenario string that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// The same, but what would be corrupted is lost: what the interop simulator has done in effect
    /// since September 2024.
    #[must_use]
    pub fn with_corruption_as_loss(mut self) -> Self {
        for link in [&mut self.to_client, &mut self.to_server] {
            let Corruption { rate, burst, .. } = std::mem::take(&mut link.corruption);
            if rate > 0.0 {
                link.loss.push(Loss::Limited { rate, burst });
            }
        }
        self
    }

    /// Builds it: two hosts, the lines and, where something rebinds, the NAT (with an outside
    /// address of 192.0.2.0/24) between the client and them. Returns the client's and the server's
    /// host.
    pub fn build(
        &self,
        sim: &mut Simulator,
        client: SocketAddr,
        server: SocketAddr,
    ) -> (NodeId, NodeId) {
        let (near, far) = (sim.add_host(&[client.ip()]), sim.add_host(&[server.ip()]));
        let Some(rebinding) = self.rebinding else {
            sim.connect_unevenly(near, far, &self.to_server, &self.to_client);
            return (near, far);
        };
        let outside = IpAddr::from([192, 0, 2, 100]);
        let config = NatConfig { rebinding: Some(rebinding), ..NatConfig::new(outside) };
        let nat = sim.add_nat(config);
        sim.connect_unevenly(nat, far, &self.to_server, &self.to_client);
        let cable = LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() };
        sim.connect(near, nat, &cable);
        (near, far)
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().ok_or_else(|| error("no scenario is named"))?;
        let mut options = Options::read(words)?;
        let line = options.line()?;
        let mut scenario =
            Self { to_client: line.clone(), to_server: line, rebinding: None, cross_traffic: None };
        match name {
            "simple-p2p" => {}
            "drop-rate" => scenario.drop_rate(&mut options)?,
            "corrupt-rate" => scenario.corrupt_rate(&mut options)?,
            "droplist" => scenario.drop_list(&mut options)?,
            "blackhole" => scenario.black_hole(&mut options)?,
            "rebind" => scenario.rebinding = Some(options.rebinding()?),
            "udp-cross-traffic" => {
                scenario.cross_traffic = Some(options.need("crossdatarate").and_then(rate)?);
            }
            other => return Err(error(format!("there is no scenario {other:?} here"))),
        }
        options.end()?;
        Ok(scenario)
    }
}

impl Scenario {
    /// The lines, with what their options end in.
    fn lines(&mut self) -> [(&'static str, &mut LinkConfig); 2] {
        [("client", &mut self.to_client), ("server", &mut self.to_server)]
    }

    fn drop_rate(&mut self, options: &mut Options<'_>) -> Result<(), ScenarioError> {
        for (end, line) in self.lines() {
            let (rate, burst) = options.rate_and_burst(end)?;
            line.loss.push(Loss::Limited { rate, burst });
        }
        Ok(())
    }

    fn corrupt_rate(&mut self, options: &mut Options<'_>) -> Result<(), ScenarioError> {
        for (end, line) in self.lines() {
            let (rate, burst) = options.rate_and_burst(end)?;
            let reach = CORRUPTED_FRONT;
            line.corruption = Corruption { rate, burst, reach, spares_version_negotiation: true };
        }
        Ok(())
    }

    fn drop_list(&mut self, options: &mut Options<'_>) -> Result<(), ScenarioError> {
        for (end, line) in self.lines() {
            if let Some(list) = options.take(&format!("drops_to_{end}")) {
                let list = list.split(',').map(number).collect::<Result<_, _>>()?;
                line.loss.push(Loss::List(list));
            }
        }
        Ok(())
    }

    fn black_hole(&mut self, options: &mut Options<'_>) -> Result<(), ScenarioError> {
        let (on, off) = (options.time("on")?, options.time("off")?);
        let repeat = options.take("repeat").map_or(Ok(1), number)?;
        let hole = Loss::Blackhole(Blackhole { on, off, repeat });
        let direction = options.take("direction").unwrap_or("both");
        if !["both", "toclient", "toserver"].contains(&direction) {
            return Err(error(format!("{direction:?} is no direction")));
        }
        for (end, line) in self.lines() {
            if direction == "both" || direction.ends_with(end) {
                line.loss.push(hole.clone());
            }
        }
        Ok(())
    }
}

/// `--name=value` and `--name`.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn read(words: impl Iterator<Item = &'a str>) -> Result<Self, ScenarioError> {
        let mut options = BTreeMap::new();
        for word in words {
            let option = word.trim_start_matches('-');
            let (name, value) = option.split_once('=').unwrap_or((option, "true"));
            if options.insert(name, value).is_some() {
                return Err(error(format!("--{name} is given twice")));
            }
        }
        Ok(Self(options))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        self.0.remove(name)
    }

    fn need(&mut self, name: &str) -> Result<&'a str, ScenarioError> {
        self.take(name).ok_or_else(|| error(format!("--{name} is missing")))
    }

    fn time(&mut self, name: &str) -> Result<Duration, ScenarioError> {
        self.need(name).and_then(time)
    }

    fn line(&mut self) -> Result<LinkConfig, ScenarioError> {
        Ok(LinkConfig {
            bandwidth: Some(self.need("bandwidth").and_then(rate)?),
            framing: PPP_HEADER,
            delay: self.time("delay")?,
            queue: QueueConfig {
                aqm: self.aqm()?,
                ..QueueConfig::packets(self.need("queue").and_then(number)?)
            },
            ..LinkConfig::default()
        })
    }

    /// Ours: the runner's lines know only full queues.
    fn aqm(&mut self) -> Result<Aqm, ScenarioError> {
        let Some(name) = self.take("aqm") else { return Ok(Aqm::DropTail) };
        Aqm::named(name).ok_or_else(|| {
            error(format!(
                "--aqm is {name:?}; it can be droptail, codel, fq-codel, dualpi2 or step"
            ))
        })
    }

    fn rate_and_burst(&mut self, end: &str) -> Result<(f64, u32), ScenarioError> {
        let percent: f64 = self.take(&format!("rate_to_{end}")).map_or(Ok(0.0), number)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(error(format!("rate_to_{end} is {percent}; it must be from 0 to 100")));
        }
        let burst = self.take(&format!("burst_to_{end}")).map_or(Ok(u32::MAX), number)?;
        Ok((percent / 100.0, burst))
    }

    fn rebinding(&mut self) -> Result<Rebinding, ScenarioError> {
        Ok(Rebinding {
            first: self.time("first-rebind")?,
            every: self.take("rebind-freq").map(time).transpose()?,
            address: self.take("rebind-addr").is_some_and(|value| value != "false"),
        })
    }

    /// An option that nobody took is a mistake.
    fn end(self) -> Result<(), ScenarioError> {
        match self.0.keys().next() {
            Some(name) => Err(error(format!("this scenario has no option --{name}"))),
            None => Ok(()),
        }
    }
}

fn error(text: impl Into<String>) -> ScenarioError {
    ScenarioError(text.into())
}

fn number<T: FromStr>(text: &str) -> Result<T, ScenarioError> {
    text.parse().map_err(|_| error(format!("{text:?} is not a number in range")))
}

/// A number with one of these units, in multiples of the first.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Result<f64, ScenarioError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let scale = units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| scale);
    let scale = scale.ok_or_else(|| error(format!("{text:?} has no unit that fits")))?;
    Ok(number::<f64>(digits)? * scale)
}

fn time(text: &str) -> Result<Duration, ScenarioError> {
    let nanos = with_unit(text, &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)])?;
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// Bits a second.
fn rate(text: &str) -> Result<u64, ScenarioError> {
    let bits = with_unit(text, &[("bps", 1.0), ("kbps", 1e3), ("Mbps", 1e6), ("Gbps", 1e9)])?;
    Ok(bits.round() as u64)
}

/// What PPP adds to an IP packet.
const PPP_HEADER: usize = 2;
/// How many bytes of the payload may be corrupted.
const CORRUPTED_FRONT: usize = 51;

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "--delay=15ms --bandwidth=10Mbps --queue=25";

    fn parse(name: &str, options: &str) -> Result<Scenario, ScenarioError> {
        format!("{name} {LINE} {options}").parse()
    }

    #[test]
    fn every_scenario_of_the_runner_parses() {
        // The strings of the runner's test cases.
        for (name, options) in [
            ("simple-p2p", ""),
            (
                "drop-rate",
                "--rate_to_client=30 --rate_to_server=30 --burst_to_client=3 --burst_to_server=3",
            ),
            ("corrupt-rate", "--rate_to_client=2 --rate_to_server=2"),
            ("droplist", "--drops_to_client=2,3,4"),
            ("blackhole", "--on=5s --off=2s"),
            ("rebind", "--first-rebind=1s --rebind-freq=5s"),
            ("rebind", "--first-rebind=1s --rebind-freq=5s --rebind-addr"),
            ("udp-cross-traffic", "--crossdatarate=2Mbps"),
        ] {
            parse(name, options).unwrap();
        }
    }

    #[test]
    fn options_become_models() {
        let lossy = parse("drop-rate", "--rate_to_client=30 --burst_to_client=3").unwrap();
        assert_eq!(lossy.to_client.loss, [Loss::Limited { rate: 0.3, burst: 3 }]);
        assert_eq!(lossy.to_server.loss, [Loss::Limited { rate: 0.0, burst: u32::MAX }]);
        assert_eq!(lossy.to_client.delay, Duration::from_millis(15));
        assert_eq!(lossy.to_client.queue, QueueConfig::packets(25));
        let hole = parse("blackhole", "--on=5s --off=2s --direction=toserver").unwrap();
        assert!(hole.to_client.loss.is_empty() && hole.to_server.loss.len() == 1);
        let managed = parse("simple-p2p", "--aqm=dualpi2").unwrap();
        assert_eq!(managed.to_server.queue.aqm, Aqm::DUAL_PI2);
        let rebind = parse("rebind", "--first-rebind=1s --rebind-addr").unwrap().rebinding;
        assert!(rebind.is_some_and(|rebinding| rebinding.address && rebinding.every.is_none()));
    }

    #[test]
    fn corruption_is_real_or_loss() {
        let real = parse("corrupt-rate", "--rate_to_client=2 --rate_to_server=2").unwrap();
        assert!(real.to_client.corruption.reach == 51 && real.to_client.loss.is_empty());
        let lossy = real.with_corruption_as_loss();
        assert!(lossy.to_client.corruption.rate == 0.0 && lossy.to_client.loss.len() == 1);
    }

    #[test]
    fn mistakes_are_named() {
        let said = |name, options| parse(name, options).unwrap_err().to_string();
        assert!(said("teleport", "").contains("teleport"));
        assert!(said("simple-p2p", "--rate_to_client=1").contains("rate_to_client"));
        assert!(said("drop-rate", "--rate_to_client=130").contains("130"));
        assert!(said("simple-p2p", "--aqm=red").contains("fq-codel"));
        assert!(said("blackhole", "--on=5 --off=2s").contains("\"5\""));
        assert!("simple-p2p --delay=1ms".parse::<Scenario>().is_err());
    }
}
