//! What goes wrong: which kinds of trouble a run has, and when the next one comes.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::net::Weather;
use crate::world::World;

/// Kinds of trouble that a run may have. A run with few of them promises more, and so finds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Parcels are lost, slow, and streams break.
    pub weather: bool,
    /// The network is cut.
    pub cuts: bool,
    /// Nodes stop, crash and lose power.
    pub crashes: bool,
    /// Processes sleep.
    pub pauses: bool,
    /// Clocks jump.
    pub clocks: bool,
    /// Clients lose their connections.
    pub clients: bool,
    /// Nodes leave and join.
    pub churn: bool,
}

impl Mix {
    /// The mix of a seed.
    pub fn choose(rng: &mut StdRng) -> Mix {
        let none = Mix {
            weather: false,
            cuts: false,
            crashes: false,
            pauses: false,
            clocks: false,
            clients: true,
            churn: false,
        };
        match rng.random_range(0..10) {
            0 | 1 => none,
            2 => Mix { weather: true, ..none },
            3 => Mix { cuts: true, ..none },
            4 => Mix { crashes: true, ..none },
            5 => Mix { pauses: true, clocks: true, ..none },
            6 => Mix { churn: true, ..none },
            _ => Mix {
                weather: rng.random(),
                cuts: true,
                crashes: rng.random(),
                pauses: rng.random(),
                clocks: rng.random(),
                clients: true,
                churn: rng.random_range(0..4) == 0,
            },
        }
    }

    fn is_quiet(self) -> bool {
        !(self.weather || self.cuts || self.crashes || self.pauses || self.clocks || self.churn)
    }
}

/// Brings one piece of trouble, or ends some.
pub fn strike(world: &mut World) {
    let mix = world.mix;
    if mix.is_quiet() {
        return;
    }
    let hosts = world.hosts.len();
    let (a, b) = (world.rng.random_range(0..hosts), world.rng.random_range(0..hosts));
    let kind = world.rng.random_range(0..14);
    world.oracle.counts.faults += 1;
    match kind {
        0 if mix.weather => {
            let delay = [(1, 3), (1, 40), (20, 60), (50, 200)][world.rng.random_range(0..4)];
            let loss = [0, 20, 100][world.rng.random_range(0..3)];
            world.trouble(format!("weather: {delay:?} ms, {loss} of 1000 lost"));
            world.net.weather = Weather { delay, loss };
        }
        1 if mix.weather => {
            world.trouble(format!("streams of n{a} break"));
            world.break_links(|x, y| x == a || y == a);
        }
        2 if mix.cuts && a != b => {
            world.trouble(format!("cut between n{a} and n{b}"));
            world.net.cut.extend([(a, b), (b, a)]);
        }
        3 if mix.cuts && a != b => {
            world.trouble(format!("cut from n{a} to n{b}"));
            world.net.cut.insert((a, b));
        }
        4 if mix.cuts => {
            let side = world.rng.random_range(1..(1u32 << hosts) - 1);
            world.trouble(format!("cut: sides {side:b}"));
            let in_side = |n: usize| side & (1 << n) != 0;
            let all = (0..hosts).flat_map(|x| (0..hosts).map(move |y| (x, y)));
            world.net.cut.extend(all.filter(|(x, y)| in_side(*x) != in_side(*y)));
        }
        5 | 6 if mix.cuts => world.mend(),
        7 if mix.crashes => world.crash(a, false),
        8 if mix.crashes => world.crash(a, true),
        9 if mix.crashes => world.stop(a),
        10 | 11 if mix.crashes => world.start(a),
        12 if mix.pauses => {
            let ms = world.rng.random_range(50..6_000);
            world.pause(a, ms);
        }
        13 if mix.clocks => {
            let ahead = world.rng.random_range(0..100_000);
            world.trouble(format!("the clock of n{a} jumps to {ahead} ms ahead"));
            world.hosts[a].skew = ahead;
        }
        0..5 if mix.churn => world.churn(a, b),
        _ => {}
    }
}

/// No more trouble: all runs, everything is reachable, the weather is fair.
pub fn end(world: &mut World) {
    world.trouble("no more trouble".into());
    world.net.weather = Weather::FAIR;
    world.mend();
    for host in 0..world.hosts.len() {
        world.start(host);
    }
}
