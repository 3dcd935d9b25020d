//! The first packet of a connection: a CONNECT, small enough, and whose home it is.

use broker::settings::Logins;
use broker::{ConnInfo, Pressure};
use mqtt::packet::{Connect, kind};
use mqtt::session::{Caller, Out, refuse};
use mqtt::{Frame, Reason, Version, frame};

use super::{Shared, home};
use crate::access::passwords;
use crate::identity::Names;
use crate::listener::Listener;

/// What the first bytes of a connection come to.
pub enum Greeting<'a> {
    /// The CONNECT has not come whole.
    More,
    /// It belongs to that shard.
    Elsewhere(usize),
    /// Its password has to be compared with these first, of which one has to fit.
    Check { caller: Caller, secrets: Vec<String>, password: Vec<u8> },
    /// It is one of ours.
    Welcome(Box<Welcome<'a>>),
    /// No CONNECT: the connection ends, perhaps with a word (already in the output).
    Refused(Reason),
}

/// A client of this shard.
pub struct Welcome<'a> {
    pub connect: Connect<'a>,
    pub info: ConnInfo,
    /// Bytes of the CONNECT.
    pub bytes: usize,
}

/// What is known of a connection beside its bytes.
#[derive(Clone, Copy)]
pub struct Comes<'a> {
    pub listener: &'a Listener,
    pub peer: std::net::SocketAddr,
    /// What its certificate calls it, where that counts.
    pub names: Option<&'a Names>,
    /// What came of [`Greeting::Check`].
    pub fits: Option<bool>,
}

/// Looks at what a connection has sent so far.
pub fn look<'a>(
    bytes: &'a [u8],
    comes: Comes<'a>,
    shard: usize,
    shared: &Shared,
    out: &mut Out,
) -> Greeting<'a> {
    let Comes { listener, peer, names, .. } = comes;
    let limit = listener.connect_bytes_max().min(listener.zone.packet_bytes_max as usize);
    let frame = match frame(bytes, limit) {
        // Whatever else comes first is no client of ours: the sooner it goes the better.
        Ok(None) if bytes.first().is_some_and(|b| b >> 4 != kind::CONNECT) => {
            return Greeting::Refused(Reason::ProtocolError);
        }
        Ok(None) => return Greeting::More,
        Ok(Some(frame)) => frame,
        Err(error) => {
            if error.0 == Reason::PacketTooLarge && says_v5(bytes) {
                refuse(Version::V5, Reason::PacketTooLarge, out);
            }
            return Greeting::Refused(error.0);
        }
    };
    if frame.kind != kind::CONNECT {
        return Greeting::Refused(Reason::ProtocolError);
    }
    let mut connect = match Connect::decode(frame.body) {
        Ok(connect) => connect,
        Err(error) => {
            // 3.x has words for an unknown version only; the rest just ends [MQTT-3.1.4-1].
            if let Some(version) = error.version
                && (version.is_v5() || error.reason == Reason::UnsupportedProtocolVersion)
            {
                refuse(version, error.reason, out);
            }
            return Greeting::Refused(error.reason);
        }
    };
    if names.is_some_and(|names| names.unusable) {
        refuse(&connect, Reason::BadUserNameOrPassword, out);
        return Greeting::Refused(Reason::BadUserNameOrPassword);
    }
    // What the certificate says counts, whatever the client says.
    connect.username = names.and_then(|names| names.username.as_deref()).or(connect.username);
    let certified = names.and_then(|names| names.client_id.as_deref());
    let named = if listener.zone.username_as_client_id { connect.username } else { None };
    let chosen = named.or(certified).unwrap_or(connect.client_id);
    let (client_id, assigned) =
        if chosen.is_empty() { (assigned_id(shard, shared), true) } else { (chosen.to_owned(), false) };
    let at = home(&client_id, shared.shards);
    if at != shard {
        return Greeting::Elsewhere(at);
    }
    match admit(&connect, &client_id, comes, shared) {
        Admit::Yes => {}
        Admit::Check(secrets) => {
            let password = connect.password.unwrap_or_default().to_vec();
            return Greeting::Check { caller: Caller::from(&connect), secrets, password };
        }
        Admit::No(reason) => {
            refuse(&connect, reason, out);
            return Greeting::Refused(reason);
        }
    }
    let info =
        ConnInfo { client_id, assigned, peer, listener: listener.id.clone(), zone: listener.zone.clone() };
    Greeting::Welcome(Box::new(Welcome { connect, info, bytes: frame.length }))
}

/// Whether a client may come in.
enum Admit {
    Yes,
    Check(Vec<String>),
    No(Reason),
}

fn admit(connect: &Connect<'_>, client_id: &str, comes: Comes<'_>, shared: &Shared) -> Admit {
    let Comes { listener, peer, fits, .. } = comes;
    if shared.memory.pressure() >= Pressure::Admission {
        return Admit::No(Reason::ServerBusy);
    }
    let lists = shared.gate.lists();
    let now = super::Clock::epoch().0 / 1_000;
    if listener.zone.ban && lists.is_banned(client_id, connect.username, peer.ip(), now) {
        return Admit::No(Reason::Banned);
    }
    let Logins::Known { others, nameless } = listener.zone.logins else { return Admit::Yes };
    if connect.username.is_none() && !nameless {
        return Admit::No(Reason::NotAuthorized);
    }
    match fits {
        Some(true) => Admit::Yes,
        Some(false) => Admit::No(Reason::BadUserNameOrPassword),
        None => match lists.secrets(client_id, connect.username) {
            secrets if secrets.is_empty() && others => Admit::Yes,
            // From here on nobody learns whether there is such a user, neither by the answer nor by its time.
            _ if connect.password.is_none() && others => Admit::No(Reason::BadUserNameOrPassword),
            _ if connect.password.is_none() => Admit::No(Reason::NotAuthorized),
            secrets => Admit::Check(passwords::padded(secrets, 1 + usize::from(connect.username.is_some()))),
        },
    }
}

/// Whether the bytes are the beginning of a CONNECT of 5.0.
fn says_v5(bytes: &[u8]) -> bool {
    let body = bytes.iter().skip(1).position(|b| b & 0x80 == 0).map(|at| &bytes[at + 2..]);
    body.is_some_and(|body| body.starts_with(b"\0\x04MQTT\x05"))
}

/// A client id that nobody else has, and whose home is this shard.
fn assigned_id(shard: usize, shared: &Shared) -> String {
    loop {
        let id = broker::assigned_client_id(u128::from_ne_bytes(crate::chance::bytes()));
        if home(&id, shared.shards) == shard {
            return id;
        }
    }
}

/// The first packet of what has been read, if it is whole and short enough.
pub fn next<'a>(bytes: &'a [u8], bytes_max: usize) -> Result<Option<Frame<'a>>, Reason> {
    frame(bytes, bytes_max).map_err(|e| e.0)
}
