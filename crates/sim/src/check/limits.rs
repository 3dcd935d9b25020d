//! Every queue has a limit: mailboxes, windows, lanes.

use crate::desk::LANE_LIMITS;
use crate::world::World;

/// Bytes that a control lane holds back at most: its own limit, and one frame into an empty lane.
const CONTROL_LANE_MAX: usize = 9 << 20;
/// Retained messages that are fetched into a mailbox at a time.
const REPLAY: usize = 64;

pub fn now(world: &mut World) {
    let mut found = None;
    for (n, host) in world.hosts.iter().enumerate() {
        let Some(process) = &host.process else { continue };
        for worker in &process.workers {
            for client in worker.shard.clients() {
                if client.mqueue_len > client.mqueue_max + REPLAY || client.inflight > client.inflight_max {
                    found = Some(format!("at n{n} {client:?}"));
                }
            }
            for lane in worker.desk.lanes_out.values() {
                if lane.lane.backlog() > LANE_LIMITS.buffer_bytes_max + LANE_LIMITS.frame_bytes_max {
                    found = Some(format!("the lane from n{n} holds {} bytes", lane.lane.backlog()));
                }
            }
            if worker.shard.stats().frames_bad > 0 {
                found = Some(format!("n{n} got bytes of a peer that it could not read"));
            }
        }
        for (member, _) in process.node.members() {
            if process.node.backlog(member.id) > CONTROL_LANE_MAX {
                found = Some(format!("the control lane from n{n} to {} is too long", member.name));
            }
        }
    }
    if let Some(what) = found {
        world.oracle.violate("limits", what);
    }
}
