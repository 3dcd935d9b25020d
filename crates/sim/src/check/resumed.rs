//! A client that comes back finds its session, wherever it comes back to, if the node that has it runs
//! and can be reached, and nothing has been out of order for a while.

use crate::oracle::CALM;
use crate::world::World;

pub fn welcome(world: &mut World, client: usize, host: usize, clean: bool, present: bool) {
    let fellows = world.are_fellows(host, world.oracle.sessions[client].host);
    let (now, oracle) = (world.now, &mut world.oracle);
    let session = &oracle.sessions[client];
    if clean && present {
        return oracle
            .violate("resumed", format!("c{client} wanted a new session at n{host} and got an old one"));
    }
    let calm = now.saturating_sub(oracle.trouble_at) > CALM;
    if calm && fellows && session.alive && !session.ghost && !clean && !present {
        let what = format!("the session of c{client} was at n{} and was not found at n{host}", session.host);
        oracle.violate("resumed", what);
    }
}
