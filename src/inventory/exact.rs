//! Sums of decimals.

use rust_decimal::Decimal;

/// How many scales a decimal can have: 0 to 28 digits behind the point.
const SCALES: usize = 29;

/// A sum of decimals that comes out the same in whatever order they are added.
///
/// Amounts of one scale are added as whole numbers, of which 128 bits hold more than a source can have clusters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exact {
    parts: [i128; SCALES],
}

impl Exact {
    pub(super) fn add(&mut self, amount: Decimal) {
        // A decimal has no scale beyond the last.
        if let Some(part) = self.parts.get_mut(amount.scale() as usize) {
            *part = part.saturating_add(amount.mantissa());
        }
    }

    /// The sum, to the last digit where 28 digits hold it.
    pub(super) fn total(&self) -> Decimal {
        (0_u32..)
            .zip(self.parts)
            .filter(|(_, part)| *part != 0)
            .fold(Decimal::ZERO, |sum, (scale, part)| {
                sum.saturating_add(decimal(part, scale))
            })
    }
}

/// A part as a decimal: one that is too long loses digits behind the point.
fn decimal(mut part: i128, mut scale: u32) -> Decimal {
    loop {
        match Decimal::try_from_i128_with_scale(part, scale) {
            Ok(amount) => return amount,
            Err(_) if scale > 0 => {
                part = (part + 5 * part.signum()) / 10;
                scale -= 1;
            }
            Err(_) if part < 0 => return Decimal::MIN,
            Err(_) => return Decimal::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(amounts: &[Decimal]) -> Decimal {
        let mut exact = Exact::default();
        for amount in amounts {
            exact.add(*amount);
        }
        exact.total()
    }

    #[test]
    fn no_cent_is_lost_and_none_is_made_up() {
        let cents = vec![Decimal::new(1, 2); 1_000];
        assert_eq!(sum(&cents).to_string(), "10.00");
        let tiny = [Decimal::new(1, 20), Decimal::new(10_000_000, 0)];
        assert_eq!(sum(&tiny).to_string(), "10000000.00000000000000000001");
        let refund = [Decimal::new(-250, 2), Decimal::new(1, 0)];
        assert_eq!(sum(&refund).to_string(), "-1.50");
        assert_eq!(sum(&[]), Decimal::ZERO);
    }

    #[test]
    fn what_is_too_much_stays_at_the_largest_amount() {
        assert_eq!(sum(&[Decimal::MAX, Decimal::MAX]), Decimal::MAX);
        assert_eq!(sum(&[Decimal::MIN, Decimal::MIN]), Decimal::MIN);
        // Twice the longest amount with a digit behind the point has 29 digits, of which the last goes.
        let long = Decimal::MAX / Decimal::TEN;
        assert_eq!(long.scale(), 1);
        assert_eq!(sum(&[long, long]), long.saturating_add(long));
    }

    proptest! {
        #[test]
        fn it_is_the_sum_in_any_order(parts in proptest::collection::vec((any::<i32>(), 0_u32..8), 0..40)) {
            let amounts: Vec<Decimal> = parts.iter().map(|(part, scale)| Decimal::new((*part).into(), *scale)).collect();
            let total = sum(&amounts);
            prop_assert_eq!(total, amounts.iter().sum::<Decimal>());
            let reversed: Vec<Decimal> = amounts.into_iter().rev().collect();
            prop_assert_eq!(sum(&reversed).to_string(), total.to_string());
        }
    }
}
