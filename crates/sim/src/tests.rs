use super::*;

/// Runs seeds and tells of the first that fails.
fn seeds(range: std::ops::Range<u64>) -> Counts {
    let mut sum = Counts::default();
    for seed in range {
        match run(seed, STORM) {
            Ok(counts) => {
                sum.delivered += counts.delivered;
                sum.owed += counts.owed;
                sum.moved += counts.moved;
                sum.faults += counts.faults;
                sum.granted += counts.granted;
                sum.refused += counts.refused;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    sum
}

#[test]
fn whatever_goes_wrong_the_cluster_keeps_its_promises_and_comes_to_rest() {
    let sum = seeds(0..40);
    assert!(sum.delivered > 1_000 && sum.owed > 1_000 && sum.moved > 10 && sum.faults > 100, "{sum:?}");
}

#[test]
fn no_two_clients_of_a_whole_cluster_have_a_filter_for_themselves_and_who_asks_gets_it_in_the_end() {
    let sum = seeds(EXCLUSIVE..EXCLUSIVE + 30);
    assert!(sum.granted > 500 && sum.refused > 500 && sum.faults > 100, "{sum:?}");
}

/// Each once showed a fault: of the broker (words about a session on the move that were lost or came to a node
/// that no longer had it; messages for a node that had restarted, before its lane was there; two nodes that forced
/// one another out), or of this simulation (a stream whose bytes a cut or two naps put out of order; an oracle that
/// forgot what had come, or knew nothing of a session on both sides of a cut).
#[test]
fn seeds_that_once_failed_hold() {
    let of_the_broker =
        [246, 726, 1309, 1467, 2575, 2797, 26_650, 27_778, 34_565, 73_966, 86_076, 86_785, 94_509];
    let of_the_simulation =
        [424, 3018, 7205, 8138, 16_464, 20_856, 39_379, 60_493, 63_688, 65_168, 66_060, 99_829];
    for seed in of_the_broker.into_iter().chain(of_the_simulation) {
        seeds(seed..seed + 1);
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    assert_eq!(run(4, 3_000).expect("holds"), run(4, 3_000).expect("holds"));
}
