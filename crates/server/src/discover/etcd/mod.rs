//! `cluster.discovery = etcd`: each node keeps its name in etcd for as long as it lives, and finds the others there.
//!
//! A round is one critical section: lock, list, decide (and join), register, unlock. Keys of v3 are those of EMQ X 5
//! (`PREFIX/CLUSTER/nodes/NODE`, whose value is the name, under a lease), of v2 those of EMQ X 4 (the same path under
//! `/v2/keys`, with a time to live). What is registered is taken back when the node stops, or stays out.

mod conn;
mod v2;
mod v3;

use std::rc::Rc;
use std::time::Duration;

use crate::settings::{ClientTls, EtcdVersion, Secret};
use conn::Conn;

/// How long a lock outlives whoever holds it.
const LOCK_TTL: Duration = Duration::from_secs(30);
/// How long another node may hold the lock before this round is given up.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What is asked, as the settings say.
pub(super) struct Config {
    pub servers: Vec<String>,
    pub prefix: String,
    pub cluster: String,
    pub node: String,
    pub node_ttl: Duration,
    pub version: EtcdVersion,
    pub login: Option<(String, Secret)>,
    pub ssl: ClientTls,
}

/// The API that a server turned out to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    V2,
    V3,
}

/// One node's use of etcd.
pub(super) struct Etcd {
    conn: Rc<Conn>,
    keys: Keys,
    ttl_secs: u64,
    version: EtcdVersion,
    api: Option<Api>,
    lock: Option<Lock>,
    entry: Option<Entry>,
    remark: String,
}

/// Where things are kept.
#[derive(Clone)]
struct Keys {
    /// `PREFIX/CLUSTER`.
    base: String,
    node: String,
}

/// The lock, held.
enum Lock {
    V2,
    /// It goes with its lease.
    V3(String),
}

/// This node's entry, kept alive by a task.
struct Entry {
    api: Api,
    keeper: tokio::task::JoinHandle<()>,
    lease: Rc<std::cell::RefCell<Option<String>>>,
}

impl Etcd {
    pub fn new(config: Config) -> Etcd {
        Etcd {
            conn: Rc::new(Conn::new(config.servers, config.login, config.ssl)),
            keys: Keys {
                base: format!("{}/{}", config.prefix.trim_matches('/'), config.cluster),
                node: config.node,
            },
            // A lease is counted in seconds, and the shortest that etcd grants is two.
            ttl_secs: config.node_ttl.as_secs().max(2),
            version: config.version,
            api: None,
            lock: None,
            entry: None,
            remark: String::new(),
        }
    }

    pub fn asks(&self) -> String {
        let api = match (self.api, self.version) {
            (Some(Api::V3), _) | (None, EtcdVersion::V3) => " v3",
            (Some(Api::V2), _) | (None, EtcdVersion::V2) => " v2",
            (None, EtcdVersion::Auto) => "",
        };
        format!("etcd{api} at {} for {}/nodes", self.conn.servers(), self.keys.base)
    }

    /// Takes the lock and lists the nodes. What follows ends with [`Etcd::settled`].
    pub async fn ask(&mut self) -> Result<Vec<String>, String> {
        self.remark.clear();
        let api = self.api().await?;
        let lock = match api {
            Api::V2 => v2::lock(&self.conn, &self.keys).await.map(|()| Lock::V2),
            Api::V3 => v3::lock(&self.conn, &self.keys).await.map(Lock::V3),
        };
        self.lock = Some(lock.map_err(|why| format!("the lock {}/lock was not had: {why}", self.keys.base))?);
        match api {
            Api::V2 => v2::nodes(&self.conn, &self.keys).await,
            Api::V3 => v3::nodes(&self.conn, &self.keys).await,
        }
    }

    async fn api(&mut self) -> Result<Api, String> {
        let api = match (self.api, self.version) {
            (Some(api), _) => api,
            (None, EtcdVersion::V2) => Api::V2,
            (None, EtcdVersion::V3) => Api::V3,
            (None, EtcdVersion::Auto) => {
                if self.conn.has_v3().await? {
                    Api::V3
                } else {
                    Api::V2
                }
            }
        };
        self.api = Some(api);
        Ok(api)
    }

    /// The round is over: this node is entered, and the lock is given back.
    pub async fn settled(&mut self) {
        if let Some(api) = self.api
            && self.lock.is_some()
            && self.entry.is_none()
        {
            match enter(&self.conn, &self.keys, api, self.ttl_secs).await {
                Ok(entry) => {
                    tracing::info!(key = %self.keys.entry(), ttl_secs = self.ttl_secs, "this node is entered in etcd");
                    self.entry = Some(entry);
                }
                Err(why) => {
                    tracing::warn!("this node could not be entered in etcd: {why}");
                    self.remark = format!("this node is not entered: {why}");
                }
            }
        }
        self.unlock().await;
    }

    async fn unlock(&mut self) {
        let given_back = match self.lock.take() {
            None => Ok(()),
            Some(Lock::V2) => v2::unlock(&self.conn, &self.keys).await,
            Some(Lock::V3(lease)) => v3::revoke(&self.conn, &lease).await,
        };
        if let Err(why) = given_back {
            tracing::warn!(
                "the lock in etcd is not given back, and ends by itself within {LOCK_TTL:?}: {why}"
            );
        }
    }

    pub fn noticed(&self) -> String {
        self.remark.clone()
    }

    /// Takes the entry back: the node stops, or is to be found by nobody.
    pub async fn hide(&mut self) {
        self.unlock().await;
        let Some(entry) = self.entry.take() else { return };
        entry.keeper.abort();
        let lease = entry.lease.borrow_mut().take();
        let taken_back = match (entry.api, lease) {
            (Api::V2, _) => v2::leave(&self.conn, &self.keys).await,
            (Api::V3, Some(lease)) => v3::revoke(&self.conn, &lease).await,
            (Api::V3, None) => Ok(()),
        };
        match taken_back {
            Ok(()) => {
                tracing::info!(key = %self.keys.entry(), "the entry of this node in etcd is taken back")
            }
            Err(why) => tracing::warn!("the entry of this node in etcd ends only by its time to live: {why}"),
        }
    }
}

impl Keys {
    fn nodes(&self) -> String {
        format!("{}/nodes/", self.base)
    }

    fn entry(&self) -> String {
        format!("{}{}", self.nodes(), self.node)
    }

    fn lock(&self) -> String {
        format!("{}/lock", self.base)
    }
}

/// Enters the node, and goes on entering it.
async fn enter(conn: &Rc<Conn>, keys: &Keys, api: Api, ttl_secs: u64) -> Result<Entry, String> {
    let lease = Rc::default();
    enter_once(conn, keys, api, ttl_secs, &lease).await?;
    let (conn, keys, kept) = (conn.clone(), keys.clone(), Rc::clone(&lease));
    let keeper = tokio::task::spawn_local(async move {
        let mut is_warned = false;
        loop {
            let pause = if is_warned { 1_000 } else { ttl_secs * 1_000 / 3 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match enter_once(&conn, &keys, api, ttl_secs, &kept).await {
                Ok(()) => {
                    if std::mem::take(&mut is_warned) {
                        tracing::warn!("the entry of this node in etcd is kept alive again");
                    }
                }
                Err(why) => {
                    if !std::mem::replace(&mut is_warned, true) {
                        tracing::warn!("the entry of this node in etcd is not kept alive: {why}");
                    }
                }
            }
        }
    });
    Ok(Entry { api, keeper, lease })
}

/// Makes or renews the entry. What is renewed and has gone meanwhile is made anew.
async fn enter_once(
    conn: &Conn,
    keys: &Keys,
    api: Api,
    ttl_secs: u64,
    lease: &std::cell::RefCell<Option<String>>,
) -> Result<(), String> {
    if api == Api::V2 {
        return v2::enter(conn, keys, ttl_secs).await;
    }
    let held = lease.borrow().clone();
    if let Some(held) = held
        && v3::keep_alive(conn, &held).await?
    {
        return Ok(());
    }
    let granted = v3::grant(conn, ttl_secs).await?;
    *lease.borrow_mut() = Some(granted.clone());
    v3::put(conn, &keys.entry(), &keys.node, &granted).await
}
