//! [`Topology`]: hosts, routers and NATs, and the lines between them; knows the way to every
//! address. This file must not know time, nor what travels.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::nat::Nat;

/// Names a host, router or NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

/// Names one direction of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(super) usize);

/// What a node does with datagrams.
#[derive(Debug)]
pub(super) enum Kind {
    /// Keeps those for its addresses.
    Host(Vec<IpAddr>),
    /// Passes them on: a router or a switch.
    Router,
    /// Changes their addresses. Its first line leads outside.
    Nat(Box<Nat>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The lines that leave it, in the order in which they were laid.
    pub(super) lines: Vec<LinkId>,
}

/// The graph.
#[derive(Debug, Default)]
pub struct Topology {
    pub(super) nodes: Vec<Node>,
    /// From where to where each line leads.
    ends: Vec<(NodeId, NodeId)>,
    routes: BTreeMap<(NodeId, IpAddr), Option<LinkId>>,
}

impl Topology {
    pub(super) fn add(&mut self, kind: Kind) -> NodeId {
        self.routes.clear();
        self.nodes.push(Node { kind, lines: Vec::new() });
        NodeId(self.nodes.len() - 1)
    }

    /// Lays a one-way line; the caller numbers lines as it calls.
    pub(super) fn lay(&mut self, from: NodeId, to: NodeId) -> LinkId {
        self.routes.clear();
        let line = LinkId(self.ends.len());
        self.ends.push((from, to));
        self.nodes[from.0].lines.push(line);
        line
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0]
    }

    /// Where a line leads.
    pub fn end_of(&self, line: LinkId) -> NodeId {
        self.ends[line.0].1
    }

    /// Where a line comes from.
    pub fn start_of(&self, line: LinkId) -> NodeId {
        self.ends[line.0].0
    }

    /// Which host has this address, or which NAT gives it out.
    pub fn owner_of(&self, address: IpAddr) -> Option<NodeId> {
        let owns = |node: &Node| match &node.kind {
            Kind::Host(addresses) => addresses.contains(&address),
            Kind::Router => false,
            Kind::Nat(nat) => nat.owns(address),
        };
        self.nodes.iter().position(owns).map(NodeId)
    }

    /// The line by which a datagram leaves a node. A host with several lines uses the one of its
    /// source address: its k-th address goes with its k-th line.
    pub(super) fn line_for(
        &mut self,
        node: NodeId,
        source: IpAddr,
        destination: IpAddr,
    ) -> Option<LinkId> {
        let at = &self.nodes[node.0];
        if let Kind::Host(addresses) = &at.kind {
            let interface = addresses.iter().position(|address| *address == source).unwrap_or(0);
            return at.lines.get(interface).or(at.lines.first()).copied();
        }
        self.route(node, destination)
    }

    /// The first line of the shortest way to an address.
    fn route(&mut self, node: NodeId, destination: IpAddr) -> Option<LinkId> {
        if let Some(known) = self.routes.get(&(node, destination)) {
            return *known;
        }
        let line = self.owner_of(destination).and_then(|owner| self.search(node, owner));
        self.routes.insert((node, destination), line);
        line
    }

    /// Breadth first, from `node` outward.
    fn search(&self, node: NodeId, goal: NodeId) -> Option<LinkId> {
        let mut seen = vec![false; self.nodes.len()];
        seen[node.0] = true;
        let mut front = VecDeque::new();
        for line in &self.nodes[node.0].lines {
            front.push_back((*line, self.end_of(*line)));
        }
        while let Some((first, at)) = front.pop_front() {
            if at == goal {
                return Some(first);
            }
            if std::mem::replace(&mut seen[at.0], true) {
                continue;
            }
            // A host does not pass on what is not for it.
            if !matches!(self.nodes[at.0].kind, Kind::Host(_)) {
                front.extend(self.nodes[at.0].lines.iter().map(|line| (first, self.end_of(*line))));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_is_found_through_routers_and_not_through_hosts() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let mut map = Topology::default();
        let [left, middle, right] = [1, 2, 3].map(|last| map.add(Kind::Host(vec![ip(last)])));
        let [near, far] = [(); 2].map(|()| map.add(Kind::Router));
        // left - near - far - right, and middle hangs on near; it can only send to far.
        for (from, to) in [(left, near), (near, far), (far, right), (middle, near)] {
            map.lay(from, to);
            map.lay(to, from);
        }
        map.lay(middle, far);
        let next = |map: &mut Topology, node, to| {
            map.line_for(node, ip(1), ip(to)).map(|line| map.end_of(line))
        };
        assert_eq!(next(&mut map, left, 3), Some(near));
        assert_eq!(next(&mut map, near, 3), Some(far));
        assert_eq!(next(&mut map, far, 2), Some(near), "no line leads from far to middle");
        assert_eq!(next(&mut map, near, 9), None);
    }
}
