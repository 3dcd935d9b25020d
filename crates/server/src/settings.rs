//! What the operator wants: `etc/emqx.conf`, `etc/plugins/*.conf` and `EMQX_…` variables, read once, checked, and given a type.
//!
//! Every setting is declared once, as a row in `settings/rows/`. [`load`] returns either [`Settings`] or every problem at once.
//! Nothing here acts on a setting: who uses one reads a field of [`Settings`].

mod check;
mod input;
mod load;
mod problem;
mod read;
#[cfg(test)]
mod reference;
mod rows;
pub mod ssl_dist;
mod suggest;
mod table;
mod typed;
pub mod value;

pub use check::node_name;
pub use input::{Environment, Origin};
pub use load::{Values, load, whereabouts};
pub use problem::{Problem, Problems};
pub use rows::GROUPS;
pub use table::{Effect, Group, Kind, Row};
pub use typed::*;
pub use value::{ListenAddress, Rate};

/// Whether these are the cipher suites of the file that is distributed.
pub fn are_shipped_ciphers(names: &[String]) -> bool {
    let rows = GROUPS.iter().flat_map(|group| group.rows);
    let mut lists = rows.filter(|row| row.key.ends_with(".ciphers")).flat_map(Row::shipped_lines);
    lists.any(|(_, list)| value::list(list) == names)
}

#[cfg(test)]
mod tests;
