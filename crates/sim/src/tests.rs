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

/// Each once showed a fault: of the broker (words about a session on the move that were lost or came to a node
/// that no longer had it), or of this simulation (a stream whose bytes a cut put out of order; 424, an oracle
/// that forgot what had come).
#[test]
fn seeds_that_once_failed_hold() {
    for seed in [246, 424, 726, 1309, 1467, 2575, 2797, 3018, 7205, 20_856, 39_379, 63_688, 65_168, 66_060] {
        seeds(seed..seed + 1);
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    assert_eq!(run(4, 3_000).expect("holds"), run(4, 3_000).expect("holds"));
}
