//! How replicas divide the sources among them; pure. Each decides for itself, by what all of them see.

use std::time::Duration;

/// What one replica sees.
#[derive(Debug)]
pub(super) struct Seen<'a, S> {
    /// How many sources there are.
    pub(super) sources: usize,
    /// Sources that it reads.
    pub(super) mine: usize,
    /// How many sources each of the other replicas reads.
    pub(super) others: &'a [usize],
    /// Sources that nobody reads, and for how long it has seen that.
    pub(super) free: &'a [(S, Duration)],
}

/// What one replica does about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision<S> {
    /// Sources that it takes, as far as it gets them.
    pub(super) take: Vec<S>,
    /// Whether it gives one back.
    pub(super) give: bool,
}

/// Decides. Who has its share leaves what is free to the others for a round, and takes it then; who has more gives one back, where
/// somebody has less.
pub(super) fn decide<S: Clone>(seen: &Seen<'_, S>, round: Duration) -> Decision<S> {
    let share = seen.sources.div_ceil(seen.others.len() + 1);
    let room = share.saturating_sub(seen.mine);
    let first = seen.free.iter().take(room);
    let left = seen
        .free
        .iter()
        .skip(room)
        .filter(|(_, free)| *free >= round);
    let give = seen.mine > share && seen.others.iter().any(|other| *other < share);
    Decision {
        take: first
            .chain(left)
            .map(|(source, _)| source.clone())
            .collect(),
        give: give && seen.free.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND: Duration = Duration::from_secs(2);

    /// Replicas decide one after the other until nobody does anything; answers with what each has, and how many rounds it took.
    fn settle(sources: usize, mut held: Vec<usize>) -> (Vec<usize>, usize) {
        let mut free_for: Vec<Duration> =
            vec![Duration::ZERO; sources.saturating_sub(held.iter().sum())];
        for rounds in 0..100 {
            let mut is_quiet = true;
            for me in 0..held.len() {
                let others: Vec<usize> = (0..held.len())
                    .filter(|other| *other != me)
                    .map(|other| held[other])
                    .collect();
                let free: Vec<(usize, Duration)> = free_for.iter().copied().enumerate().collect();
                let seen = Seen {
                    sources,
                    mine: held[me],
                    others: &others,
                    free: &free,
                };
                let decision = decide(&seen, ROUND);
                held[me] += decision.take.len();
                for taken in decision.take.iter().rev() {
                    free_for.remove(*taken);
                }
                if decision.give {
                    held[me] -= 1;
                    free_for.push(Duration::ZERO);
                }
                is_quiet &= decision.take.is_empty() && !decision.give;
            }
            for free in &mut free_for {
                *free += ROUND;
            }
            if is_quiet && free_for.is_empty() {
                return (held, rounds);
            }
        }
        panic!("they never agree: {held:?}");
    }

    #[test]
    fn who_has_its_share_leaves_the_rest_for_one_round() {
        let free = [("a", Duration::ZERO), ("b", Duration::ZERO)];
        let seen = |mine, free| Seen {
            sources: 5,
            mine,
            others: &[0, 0],
            free,
        };
        let none: Vec<&str> = Vec::new();
        assert_eq!(decide(&seen(1, &free), ROUND).take, ["a"]);
        assert_eq!(decide(&seen(2, &free), ROUND).take, none);
        let later = [("a", Duration::ZERO), ("b", ROUND)];
        assert_eq!(decide(&seen(2, &later), ROUND).take, ["b"]);
        assert!(decide(&seen(3, &[]), ROUND).give);
        assert!(!decide(&seen(2, &[]), ROUND).give);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_source_is_soon_read_and_nobody_has_more_than_its_share(
            sources in 0_usize..40,
            held in prop::collection::vec(0_usize..10, 1..6),
        ) {
            let total: usize = held.iter().sum();
            prop_assume!(total <= sources);
            let replicas = held.len();
            let (held, rounds) = settle(sources, held);
            prop_assert_eq!(held.iter().sum::<usize>(), sources);
            prop_assert!(held.iter().all(|mine| *mine <= sources.div_ceil(replicas)), "{:?}", held);
            // One at a time is given back.
            prop_assert!(rounds <= sources + 3, "{} rounds", rounds);
        }
    }
}
