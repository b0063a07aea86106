//! Multiples of one point, computed once: a key that checks signatures all day checks them twice as fast.
//!
//! In scope: the table, and the one sum that checking a signature needs.
//! Out of scope: keys and signatures (`keys`).
//!
//! Nothing here is secret: keys, signatures and messages are public, so time may depend on them.

use std::sync::LazyLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity as _;

/// Digits of a scalar, in base 256.
const N_DIGITS: usize = 32;

/// The largest digit, of either sign.
const DIGIT_MAX: usize = 128;

/// For each second digit of a scalar, 1 to 128 times the point at that digit: 320 KiB. The other digits use the same rows,
/// eight doublings later, which costs a tenth of the time and saves half of the memory.
pub(crate) struct Multiples(Vec<EdwardsPoint>);

impl Multiples {
    /// Of this point. Takes as long as a dozen checks without it.
    pub(crate) fn of(point: EdwardsPoint) -> Self {
        let mut multiples = Vec::with_capacity(N_DIGITS / 2 * DIGIT_MAX);
        let mut unit = point;
        for _ in 0..N_DIGITS / 2 {
            let mut multiple = EdwardsPoint::identity();
            multiples.extend((0..DIGIT_MAX).map(|_| {
                multiple += unit;
                multiple
            }));
            unit = times_256(times_256(unit));
        }
        Self(multiples)
    }

    /// `scalar` times this point plus `of_base` times the base point.
    pub(crate) fn sum(&self, scalar: &Scalar, of_base: &Scalar) -> EdwardsPoint {
        static OF_BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::of(ED25519_BASEPOINT_POINT));
        let terms = [(self, digits(scalar)), (&*OF_BASE, digits(of_base))];
        let add = |sum: EdwardsPoint, odd: usize| {
            terms.iter().fold(sum, |sum, (table, digits)| {
                let digits = digits.iter().skip(odd).step_by(2);
                table.0.chunks(DIGIT_MAX).zip(digits).fold(sum, |sum, (row, digit)| add_multiple(sum, row, *digit))
            })
        };
        add(times_256(add(EdwardsPoint::identity(), 1)), 0)
    }
}

fn times_256(point: EdwardsPoint) -> EdwardsPoint {
    (0..8).fold(point, |point, _| point + point)
}

/// Adds `digit` times the point that `row` has the multiples of.
fn add_multiple(sum: EdwardsPoint, row: &[EdwardsPoint], digit: i16) -> EdwardsPoint {
    let multiple = usize::from(digit.unsigned_abs()).checked_sub(1).and_then(|at| row.get(at));
    match multiple {
        None => sum, // the digit 0
        Some(multiple) if digit < 0 => sum - multiple,
        Some(multiple) => sum + multiple,
    }
}

/// The digits of a scalar in base 256, from −127 to 128, the lowest first. A scalar is less than 2^253, so the last digit
/// carries nothing over.
fn digits(scalar: &Scalar) -> [i16; N_DIGITS] {
    let mut digits = [0; N_DIGITS];
    let mut carry = 0;
    for (digit, byte) in digits.iter_mut().zip(scalar.as_bytes()) {
        let value = i16::from(*byte) + carry;
        carry = i16::from(value > 128);
        *digit = value - 256 * carry;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scalars at the edges of the digits, and a few that follow from each other.
    fn scalars() -> Vec<Scalar> {
        let mut scalars: Vec<_> =
            [0_u64, 1, 127, 128, 129, 255, 256, 257, 32_767, 32_768, 32_769, u64::MAX].map(Scalar::from).into();
        scalars.extend(scalars.clone().iter().map(|scalar| -scalar));
        let step = Scalar::from_bytes_mod_order([0x80; 32]);
        scalars.extend((1..40_u64).map(|i| Scalar::from(i) * step * step));
        scalars
    }

    #[test]
    fn the_sum_is_what_the_library_computes() {
        let point = ED25519_BASEPOINT_POINT * Scalar::from(7_u64).invert();
        let table = Multiples::of(point);
        let scalars = scalars();
        for (a, b) in scalars.iter().zip(scalars.iter().rev()) {
            let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(a, &point, b);
            assert_eq!(table.sum(a, b), expected, "{a:?} {b:?}");
        }
    }
}
