//! `cluster.discovery = dns`: the records of a name list the hosts of the nodes. The DNS servers of the host are
//! asked themselves, anew each time: neither `/etc/hosts` nor a cache hides a change.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::settings::DnsRecords;

/// How long one server may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The name, and what is made of its records.
pub(super) struct Dns {
    name: String,
    app: String,
    records: DnsRecords,
}

impl Dns {
    pub fn new(name: &str, app: &str, records: DnsRecords) -> Dns {
        Dns { name: name.into(), app: app.into(), records }
    }

    fn kind(&self) -> RecordType {
        match self.records {
            DnsRecords::A => RecordType::A,
            DnsRecords::Aaaa => RecordType::AAAA,
            DnsRecords::Srv => RecordType::SRV,
        }
    }

    pub fn asks(&self) -> String {
        format!("DNS for the {} records of {}", self.kind(), self.name)
    }

    /// The names of nodes, each once and sorted: servers answer in any order.
    pub async fn ask(&self) -> Result<Vec<String>, String> {
        let mut name = Name::from_utf8(&self.name).map_err(|e| format!("{} is no name: {e}", self.name))?;
        // As it is written: nothing is put behind it.
        name.set_fqdn(true);
        // Read anew: the servers of a host may change.
        let mut builder =
            TokioResolver::builder_tokio().map_err(|e| format!("/etc/resolv.conf cannot be used: {e}"))?;
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.timeout = ANSWER_LIMIT;
        options.attempts = 1;
        let resolver = builder.build().map_err(|e| format!("no DNS server can be asked: {e}"))?;
        let answer = resolver.lookup(name, self.kind()).await.map_err(|error| self.explain(&error))?;
        let mut nodes: Vec<String> =
            answer.answers().iter().filter_map(|record| self.node(&record.data)).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    fn node(&self, record: &RData) -> Option<String> {
        let host = match (self.records, record) {
            (DnsRecords::A, RData::A(address)) => address.to_string(),
            (DnsRecords::Aaaa, RData::AAAA(address)) => address.to_string(),
            (DnsRecords::Srv, RData::SRV(service)) => {
                service.target.to_string().trim_end_matches('.').to_owned()
            }
            _ => return None,
        };
        Some(format!("{}@{host}", self.app))
    }

    fn explain(&self, error: &NetError) -> String {
        let name = &self.name;
        match error {
            error if error.is_nx_domain() => format!("there is no name {name} (NXDOMAIN)"),
            error if error.is_no_records_found() => format!("{name} has no {} record", self.kind()),
            NetError::Dns(DnsError::ResponseCode(code)) => format!("the server cannot tell: {code}"),
            other => format!("no server answers: {other}"),
        }
    }
}
