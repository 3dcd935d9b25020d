//! Who may connect, publish and subscribe on this node: the rules of `acl_file`, and what the whole cluster
//! keeps together, which is the banned, the users and the rights that were given by command.

mod file;
mod lists;
pub mod passwords;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use broker::access::rules::Rules;
use broker::access::{Access, Deed, Verdict, Who};
use parking_lot::RwLock;

pub use lists::{Action, Ban, Kind, Lists, Right, User, is_name};
pub use store::AccessStore;

/// The module of EMQ X 4.4 that asks the rules of the file.
pub const FILE_MODULE: &str = "emqx_mod_acl_internal";

/// What the shards ask, shared by all of them.
pub struct Gate {
    file: Option<PathBuf>,
    rules: ArcSwap<Rules>,
    lists: Arc<RwLock<Lists>>,
    version: Arc<AtomicU32>,
    /// Where passwords are compared.
    pub passwords: passwords::Pool,
}

impl Gate {
    /// Over the rules of that file, if there are any. `store` keeps what the cluster shares.
    ///
    /// # Errors
    /// In plain words: the file cannot be read, or holds something that is no rule.
    pub fn open(file: Option<PathBuf>, store: &AccessStore) -> Result<Gate, String> {
        let rules = file.as_deref().map(file::read).transpose()?.unwrap_or_default();
        Ok(Gate {
            file,
            rules: ArcSwap::from_pointee(rules),
            lists: store.lists(),
            version: store.version(),
            passwords: passwords::Pool::default(),
        })
    }

    /// Reads the rules of the file anew. Where that fails the old ones stay.
    ///
    /// # Errors
    /// As of [`Gate::open`].
    pub fn reload(&self) -> Result<usize, String> {
        let Some(file) = &self.file else { return Err("no acl_file is set".to_owned()) };
        let rules = file::read(file)?;
        let count = rules.0.len();
        self.rules.store(Arc::new(rules));
        self.version.fetch_add(1, Ordering::Release);
        Ok(count)
    }

    /// Whether the rules of a file are asked.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The banned, the users and the rights.
    pub fn lists(&self) -> parking_lot::RwLockReadGuard<'_, Lists> {
        self.lists.read()
    }
}

/// The gate as a shard asks it.
pub struct Asking(pub Arc<Gate>);

impl Access for Asking {
    fn ask(&self, who: &Who<'_>, deed: Deed, topic: &str) -> Verdict {
        let given = self.0.lists().first(who, deed, topic);
        given.or_else(|| self.0.rules.load().first(who, deed, topic)).unwrap_or(who.no_match)
    }

    fn always(&self, who: &Who<'_>, deed: Deed) -> Option<Verdict> {
        if self.0.lists().concern(who) {
            return None;
        }
        self.0.rules.load().always(who, deed)
    }

    fn version(&self) -> u32 {
        self.0.version.load(Ordering::Acquire)
    }
}
