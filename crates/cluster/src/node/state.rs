//! What a node keeps on disk about itself and its cluster: one record, replaced as a whole.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{ClusterId, Incarnation, NodeId};
use crate::member::{Member, Members, State};
use crate::name::NodeName;
use crate::wire::{Reader, as_u64, put, put_u64, put_with};

/// So many clusters that were left and do not know it yet are remembered.
const FAREWELLS_MAX: usize = 16;

/// Why a node cannot start on its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// The data belongs to a member of a cluster under another name.
    NameChanged {
        /// The name that the cluster knows.
        was: NodeName,
        /// The name that was asked for.
        is: NodeName,
    },
    /// What was kept is not readable.
    Unreadable,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameChanged { was, is } => write!(
                f,
                "this data belongs to {}, a member of a cluster; it cannot start as {}. To rename it, start it as {} \
                 and run `cluster leave` first (its data is then moved aside), or keep the old name",
                was.quoted(),
                is.quoted(),
                was.quoted()
            ),
            Self::Unreadable => {
                f.write_str("the record of the cluster in the data directory is not readable")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// A cluster that this node has left, and who has not been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Farewell {
    pub cluster: ClusterId,
    /// When it was left, in milliseconds since 1970.
    pub since: u64,
    /// Final records: our own, and those that we may have been the only one to know.
    pub records: Vec<Member>,
    pub to: BTreeMap<NodeId, NodeName>,
    /// Some member knows and tells the others; those in `to` are still told when they turn up here.
    pub told: bool,
}

/// Ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub id: NodeId,
    pub name: NodeName,
    pub incarnation: Incarnation,
    pub cluster: ClusterId,
    pub members: Members,
    pub farewells: Vec<Farewell>,
    pub stays_out: bool,
}

impl Own {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 1, &self.id.0);
        put(&mut out, 2, self.name.as_str().as_bytes());
        put_u64(&mut out, 3, self.incarnation);
        put(&mut out, 4, &self.cluster.encode());
        self.members.encode(5, &mut out);
        for farewell in &self.farewells {
            put_with(&mut out, 6, |out| {
                put(out, 1, &farewell.cluster.encode());
                for record in &farewell.records {
                    put_with(out, 2, |out| record.encode(out));
                }
                put_u64(out, 5, farewell.since);
                for (id, name) in &farewell.to {
                    put(out, 3, &[&id.0, name.as_str().as_bytes()].concat());
                }
                put_u64(out, 4, u64::from(farewell.told));
            });
        }
        put_u64(&mut out, 7, u64::from(self.stays_out));
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut id, mut name, mut incarnation, mut cluster) = (None, None, None, None);
        let (mut members, mut farewells, mut stays_out) = (Members::default(), Vec::new(), false);
        let mut reader = Reader(bytes);
        while let Some((number, content)) = reader.field() {
            match number {
                1 => id = NodeId::from_slice(content),
                2 => name = read_name(content),
                3 => incarnation = as_u64(content),
                4 => cluster = ClusterId::decode(content),
                5 => {
                    members.merge(Member::decode(content)?);
                }
                6 => farewells.push(decode_farewell(content)?),
                7 => stays_out = as_u64(content)? != 0,
                _ => {}
            }
        }
        let sound = reader.is_empty();
        let own = Self {
            id: id?,
            name: name?,
            incarnation: incarnation?,
            cluster: cluster?,
            members,
            farewells,
            stays_out,
        };
        sound.then_some(own)
    }

    /// Whether a node with this data may run under that name: not if others know it by another.
    pub fn check_name(&self, name: &NodeName) -> Result<(), StartError> {
        let alone = self.members.members().all(|m| m.id == self.id);
        if alone || self.name == *name {
            return Ok(());
        }
        Err(StartError::NameChanged { was: self.name.clone(), is: name.clone() })
    }

    /// Remembers whom to tell that we have left.
    pub fn remember_farewell(&mut self, record: &Member) {
        let to: BTreeMap<_, _> = self
            .members
            .all()
            // Who was forced out may not know it, and still count on us.
            .filter(|m| m.id != record.id && !matches!(m.state, State::Left | State::Replaced))
            .map(|m| (m.id, m.name.clone()))
            .collect();
        if !to.is_empty() {
            let since = record.since;
            let finals = self.members.all().filter(|m| m.state.is_final() && m.id != record.id).cloned();
            let records = finals.chain([record.clone()]).collect();
            self.add_farewell(Farewell { cluster: self.cluster, since, records, to, told: false });
        }
    }

    /// One for each cluster; of so many clusters the last are remembered.
    pub fn add_farewell(&mut self, mut farewell: Farewell) {
        if let Some(at) = self.farewells.iter().position(|known| known.cluster == farewell.cluster) {
            let known = self.farewells.remove(at);
            let news: Vec<_> = farewell.records.iter().map(|record| record.id).collect();
            farewell.records.extend(known.records.into_iter().filter(|record| !news.contains(&record.id)));
            farewell.to.extend(known.to);
        }
        self.farewells.push(farewell);
        if self.farewells.len() > FAREWELLS_MAX {
            self.farewells.remove(0);
        }
    }
}

fn read_name(content: &[u8]) -> Option<NodeName> {
    std::str::from_utf8(content).ok().and_then(|text| NodeName::parse(text).ok())
}

fn decode_farewell(content: &[u8]) -> Option<Farewell> {
    let (mut cluster, mut since, mut records, mut to, mut told) =
        (None, 0, Vec::new(), BTreeMap::new(), false);
    let mut reader = Reader(content);
    while let Some((number, content)) = reader.field() {
        match number {
            1 => cluster = ClusterId::decode(content),
            2 => records.push(Member::decode(content)?),
            3 => {
                let (id, name) = content.split_at_checked(16)?;
                to.insert(NodeId::from_slice(id)?, read_name(name)?);
            }
            4 => told = as_u64(content)? != 0,
            5 => since = as_u64(content)?,
            _ => {}
        }
    }
    Some(Farewell { cluster: cluster?, since, records, to, told })
}
