//! `flockmq-sim [--seed N] [--seeds COUNT] [--steps MS]`: runs seeds of the simulation. A run that fails
//! is shown with its last lines and with what repeats it. Seeds from 4294967296 on are those in which clients
//! also want filters for themselves.

use std::process::ExitCode;

const USAGE: &str = "usage: flockmq-sim [--seed N] [--seeds COUNT] [--steps MS]
  --seed N       the first seed (0)
  --seeds COUNT  how many (1 with --seed, else 200)
  --steps MS     how long it storms in each, in milliseconds of its own time (25000)";

fn main() -> ExitCode {
    let (mut seed, mut seeds, mut storm) = (None, None, sim::STORM);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|text| text.parse().ok());
        match (arg.as_str(), value) {
            ("--seed", Some(value)) => seed = Some(value),
            ("--seeds", Some(value)) => seeds = Some(value),
            ("--steps", Some(value)) => storm = value,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    let count = seeds.unwrap_or(if seed.is_some() { 1 } else { 200 });
    let first: u64 = seed.unwrap_or(0);
    // What panics is told with the trace.
    std::panic::set_hook(Box::new(|_| {}));
    // Without a wish, a quarter as many of those in which clients want filters for themselves.
    let more = if seed.is_none() { count / 4 } else { 0 };
    for seed in (first..first.saturating_add(count)).chain(sim::EXCLUSIVE..sim::EXCLUSIVE + more) {
        match sim::run(seed, storm) {
            Ok(counts) if count == 1 => println!("seed {seed}: holds; {counts:?}"),
            Ok(_) => {}
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count} seeds from {first} on hold, {more} from {} on", sim::EXCLUSIVE);
    ExitCode::SUCCESS
}
