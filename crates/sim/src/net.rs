//! The made-up network between nodes: streams that are slow, stall, break, and are cut in either
//! direction. Within a stream bytes keep their order, as on TCP; what a cut holds back comes when it is
//! mended, unless somebody has closed the stream meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::{LinkId, NodeId};
use rand::RngExt;
use rand::rngs::StdRng;

/// What a stream is to one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Control(LinkId),
    LaneOut { shard: usize, slot: u16 },
    LaneIn { shard: usize, peer: NodeId, lane: u16 },
}

/// One end of a stream.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub host: usize,
    pub run: u64,
    pub role: Role,
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    Bytes(Vec<u8>),
    End,
}

pub struct Link {
    pub ends: [End; 2],
    /// When the last parcel towards each end arrives.
    last: [u64; 2],
    /// What a cut has caught on its way to each end, and what was sent after that.
    caught: [VecDeque<Parcel>; 2],
    held: [VecDeque<Parcel>; 2],
}

/// How the network behaves now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Milliseconds that a parcel needs, at least and at most.
    pub delay: (u64, u64),
    /// Of a thousand parcels so many are lost and sent again.
    pub loss: u32,
}

impl Weather {
    pub const FAIR: Weather = Weather { delay: (1, 3), loss: 0 };
}

impl Default for Weather {
    fn default() -> Weather {
        Weather::FAIR
    }
}

#[derive(Default)]
pub struct Net {
    pub links: BTreeMap<u64, Link>,
    /// What `from` says does not reach `to`.
    pub cut: BTreeSet<(usize, usize)>,
    pub weather: Weather,
    serial: u64,
}

/// A parcel towards an end of a link, and when it arrives.
pub struct Sent {
    pub at: u64,
    pub link: u64,
    pub to: usize,
    pub parcel: Parcel,
}

impl Net {
    /// A number for a new link.
    pub fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn connect(&mut self, number: u64, ends: [End; 2]) {
        self.links.insert(
            number,
            Link { ends, last: [0; 2], caught: Default::default(), held: Default::default() },
        );
    }

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a, b)) || self.cut.contains(&(b, a))
    }

    /// How long the next parcel needs.
    pub fn delay(&self, rng: &mut StdRng) -> u64 {
        let Weather { delay: (least, most), loss } = self.weather;
        // A lost one is sent again after the time-out of TCP, and what follows it waits.
        let lost = rng.random_range(0..1000) < loss;
        rng.random_range(least..=most) + if lost { rng.random_range(200..600) } else { 0 }
    }

    /// Puts a parcel on its way to end `to` of a link; `None` if a cut holds it.
    pub fn send(&mut self, link: u64, to: usize, parcel: Parcel, now: u64, rng: &mut StdRng) -> Option<Sent> {
        let delay = self.delay(rng);
        let known = self.links.get_mut(&link)?;
        let way = (known.ends[1 - to].host, known.ends[to].host);
        if self.cut.contains(&way) {
            known.held[to].push_back(parcel);
            return None;
        }
        let at = (now + delay).max(known.last[to]);
        known.last[to] = at;
        Some(Sent { at, link, to, parcel })
    }

    /// A parcel has come to its end; `None` if a cut has caught it.
    pub fn arrive(&mut self, link: u64, to: usize, parcel: Parcel) -> Option<(End, Parcel)> {
        let known = self.links.get_mut(&link)?;
        let way = (known.ends[1 - to].host, known.ends[to].host);
        if self.cut.contains(&way) {
            known.caught[to].push_back(parcel);
            return None;
        }
        Some((known.ends[to], parcel))
    }

    /// After cuts were mended: what they held back goes on.
    pub fn release(&mut self, now: u64, rng: &mut StdRng) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (number, link) in &mut self.links {
            for to in 0..2 {
                if self.cut.contains(&(link.ends[1 - to].host, link.ends[to].host)) {
                    continue;
                }
                let at = (now + rng.random_range(1..400)).max(link.last[to]);
                link.last[to] = at;
                for parcel in link.caught[to].drain(..).chain(link.held[to].drain(..)) {
                    sent.push(Sent { at, link: *number, to, parcel });
                }
            }
        }
        sent
    }

    /// Which end of a link that is.
    pub fn side(&self, link: u64, host: usize, run: u64, role: Role) -> Option<usize> {
        let ends = &self.links.get(&link)?.ends;
        ends.iter().position(|end| end.host == host && end.run == run && end.role == role)
    }
}
