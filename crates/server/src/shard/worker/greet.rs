//! From a connection's first byte of MQTT to its client's welcome: who may come in, and to which shard.

use mqtt::session::Caller;

use super::*;

impl Worker {
    /// The connection has not said who it is. `None`: nothing more to do with these bytes.
    pub(super) fn greet(&mut self, at: u32, bytes: &[u8], now: Now) -> Option<usize> {
        let conn = &mut self.conns[at as usize];
        let Phase::Greeting(newcomer) = &conn.phase else { return None };
        let mut out = Out::default();
        let listener = conn.listener.clone();
        let fits = if let Check::Done(fits) = newcomer.check { Some(fits) } else { None };
        let names = newcomer.names.clone();
        let comes =
            greeting::Comes { listener: &listener, peer: newcomer.peer, names: names.as_deref(), fits };
        match greeting::look(bytes, comes, self.number, &self.shared, &mut out) {
            Greeting::More if bytes.len() > listener.connect_bytes_max() => {
                self.remove(at, "frame_too_large");
                None
            }
            Greeting::More => None,
            Greeting::Elsewhere(shard) => {
                let conn = self.conns.remove(at as usize);
                self.stuck.remove(&at);
                self.move_home(conn, bytes.to_vec(), shard);
                None
            }
            Greeting::Check { caller, secrets, password } => {
                self.check(at, caller, secrets, password, now);
                None
            }
            // What this shard was told before the client was told to come must be known first, and this
            // thread may have slept between the two: see `turn`.
            Greeting::Welcome(_) if !self.inbox_is_fresh => {
                self.greeted.push(at);
                None
            }
            Greeting::Welcome(welcome) => {
                let greeting::Welcome { connect, info, bytes } = *welcome;
                if let Some(policy) = listener.flapping
                    && self.flapping.is_too_often(&info.client_id, policy, now)
                {
                    self.ban_flapping(&info.client_id, policy);
                    refuse(&connect, Reason::Banned, &mut out);
                    self.refuse(at, Reason::Banned, out, now);
                    return None;
                }
                let conn = &mut self.conns[at as usize];
                conn.phase = Phase::Open;
                conn.version = connect.version;
                conn.paced = Paced::new(&conn.listener.pace);
                self.fx.output(ConnId(at)).quota = Quota::new(&conn.listener.pace);
                let outlives = connect.session_expiry().map_or(!connect.clean_start, |seconds| seconds > 0);
                self.shard.connect(ConnId(at), &connect, info, now, &mut self.fx);
                if outlives {
                    self.fx.hold(ConnId(at));
                }
                Some(bytes)
            }
            Greeting::Refused(reason) => {
                self.refuse(at, reason, out, now);
                None
            }
        }
    }

    /// Has a password compared by threads that are there for that; [`Worker::checked`] goes on.
    fn check(&mut self, at: u32, caller: Caller, secrets: Vec<String>, password: Vec<u8>, now: Now) {
        self.checks += 1;
        let (check, home) = (self.checks, self.fx.siblings[self.number].sender.clone());
        let then = move |fits| {
            home.send(ShardMessage::Do(Box::new(move |worker| worker.checked(at, check, fits))));
        };
        if self.shared.gate.passwords.verify(secrets, password, then) {
            if let Some(newcomer) = self.conns[at as usize].newcomer() {
                newcomer.check = Check::Going(check);
                // From here on it is the node that takes its time.
                newcomer.give_up_at = now.plus(CHECK_LIMIT_MS);
            }
        } else {
            let mut out = Out::default();
            refuse(caller, Reason::ServerBusy, &mut out);
            self.refuse(at, Reason::ServerBusy, out, now);
        }
    }

    fn checked(&mut self, at: u32, check: u64, fits: bool) {
        if let Some(conn) = self.conns.get_mut(at as usize)
            && let Some(newcomer) = conn.newcomer()
            && newcomer.check == Check::Going(check)
        {
            newcomer.check = Check::Done(fits);
            // What it has sent is looked at again with the next turn's reading.
            conn.held = true;
            if !std::mem::replace(&mut conn.ready, true) {
                self.ready.push(at);
            }
        }
    }

    /// A connection that the machine does not know ends, after a word of why if `out` has one.
    fn refuse(&mut self, at: u32, reason: Reason, out: Out, now: Now) {
        let conn = &mut self.conns[at as usize];
        if let Some(newcomer) = conn.newcomer() {
            tracing::debug!(peer = %newcomer.peer, reason = reason.words(), "a client was refused");
        }
        self.fx.traffic.turned_away += u64::from(reason == Reason::ServerBusy);
        self.fx.output(ConnId(at)).out = out;
        self.fx.refuse(ConnId(at), reason);
        conn.phase = Conn::closing(now.plus(LINGER_MS));
        self.unsettled = true;
    }

    fn ban_flapping(&mut self, client_id: &str, policy: FlappingPolicy) {
        tracing::warn!(clientid = client_id, "a client connects too often and is banned for a while");
        let at = self.fx.epoch.0 / 1_000;
        let ban = Ban {
            by: "flapping detector".to_owned(),
            reason: "flapping is detected".to_owned(),
            at,
            until: Some(at + policy.banned_for.as_secs()),
        };
        let key = Ban::key(Kind::ClientId, client_id);
        let Ok(value) = serde_json::to_vec(&ban) else { return };
        self.shared.control.send(ControlMessage::Do(Box::new(move |control| {
            control.write_access(&key, Some(&value));
        })));
    }

    fn move_home(&mut self, conn: Conn, bytes: Vec<u8>, shard: usize) {
        let Conn { mut stream, listener, phase, .. } = conn;
        if let Phase::Greeting(newcomer) = phase
            && let Some(socket) = stream.socket()
            && self.poll.registry().deregister(socket).is_ok()
        {
            let Newcomer { peer, names, .. } = *newcomer;
            let adopted = Adopted { stream, listener, peer, names, bytes };
            self.fx.siblings[shard].sender.send(ShardMessage::Adopt(Box::new(adopted)));
        } else {
            listener.release("poll_error");
        }
    }
}
