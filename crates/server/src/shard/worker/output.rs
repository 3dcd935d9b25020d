//! What leaves at the end of a turn: the outputs of clients, the lanes of peers.

use super::*;

/// Output above which a connection counts as slow; below half of it it is asked to go on.
const SLOW_BYTES: usize = 512 << 10;
/// Output that is written before all that is larger, however much there is of it.
const SMALL_BYTES: usize = 8 << 10;
/// Bytes of larger outputs that are written in one turn: in the next one whoever has come meanwhile comes first.
const TURN_WRITE_BYTES: usize = 1 << 20;

impl Worker {
    /// Sends what has been put out, and ends what has to end: what is small first, then as much of the rest as
    /// does not keep those waiting who come meanwhile.
    pub(super) fn flush(&mut self, now: Now) {
        let mut left = TURN_WRITE_BYTES as u64;
        loop {
            while let Some(at) = self.fx.dirty.pop() {
                let output = self.fx.output(ConnId(at));
                if output.out.len() > SMALL_BYTES {
                    // It stays marked, so that it is noted once.
                    self.large.push_back(at);
                    continue;
                }
                output.dirty = false;
                self.flush_conn(at, now);
            }
            let Some(at) = self.large.pop_front_if(|_| left > 0) else { break };
            self.fx.output(ConnId(at)).dirty = false;
            // What this one, or its end, brings others is looked at before the next one.
            let before = self.fx.traffic.bytes_sent;
            self.flush_conn(at, now);
            left = left.saturating_sub(self.fx.traffic.bytes_sent - before);
        }
        let mut lost = Vec::new();
        let at = self.cluster_now(now);
        self.fx.lanes.flush(at, &mut lost);
        self.lanes_lost(lost);
    }

    fn flush_conn(&mut self, at: u32, now: Now) {
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        let output = self.fx.output(ConnId(at));
        if conn.held && !output.paused && !conn.ready {
            conn.ready = true;
            self.ready.push(at);
        }
        if output.hold > 0 && output.ended.is_none() {
            // `release` comes back to it.
            return;
        }
        let before = output.out.len();
        let mut spare = Vec::new();
        let flushed = if conn.blocked { Flushed::Blocked } else { conn.flush(&mut output.out, &mut spare) };
        let left = output.out.len();
        let ended = output.ended.is_some();
        self.fx.give_back(spare);
        self.fx.traffic.bytes_sent += (before - left) as u64;
        let conn = &mut self.conns[at as usize];
        if conn.blocked && conn.listener.send_limit.is_some() {
            self.stuck.entry(at).or_insert(now);
        }
        if left > SLOW_BYTES {
            conn.slow = true;
        } else if left < SLOW_BYTES / 2 && (conn.slow || before > SLOW_BYTES) {
            // Whatever the machine held back because of the output may go on, also when the socket took
            // all of it at once.
            conn.slow = false;
            self.shard.writable(ConnId(at), &mut self.fx);
        }
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        match flushed {
            Flushed::Broken if ended || !conn.is_open() => self.remove(at, "tcp_closed"),
            Flushed::Broken => self.lost(at, now),
            Flushed::Blocked | Flushed::Whole if ended && conn.is_open() => {
                conn.phase = Conn::closing(now.plus(LINGER_MS));
                self.unsettled = true;
                if flushed == Flushed::Whole {
                    conn.stream.finish();
                }
            }
            Flushed::Whole if ended => conn.stream.finish(),
            _ => {}
        }
    }
}
