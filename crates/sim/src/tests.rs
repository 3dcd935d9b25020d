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

#[test]
fn a_seed_is_the_same_run_each_time() {
    assert_eq!(run(4, 3_000).expect("holds"), run(4, 3_000).expect("holds"));
}
