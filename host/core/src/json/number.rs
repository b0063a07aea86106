//! The spelling of floats, which is where canonical forms differ between languages.
//!
//! In scope: shortest digits that read back to the same double, in ECMAScript's and in CPython's layout.
//! Out of scope: integers (written as they are), reading numbers (`read`).
//!
//! The digits come from the crate `ryu`, which resolves exact ties to even as CPython and V8 do. `core::fmt` does not:
//! it spells 1092629006545292.25 as `…292.3`, the other two as `…292.2`.

/// Shortest decimal digits of a positive finite double, and the position of the decimal point relative to their start:
/// `(“15”, 1)` is 1.5, `(“15”, -1)` is 0.015.
fn shortest(positive: f64) -> (String, i32) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(positive);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (integral, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{integral}{fraction}");
    let significant = all.trim_start_matches('0');
    let n_leading = all.len() - significant.len();
    // ryu writes at most 17 digits and a three-digit exponent, so none of this leaves the range of i32.
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let point =
        i32::try_from(integral.len()).unwrap_or_default() + exponent - i32::try_from(n_leading).unwrap_or_default();
    (significant.trim_end_matches('0').to_owned(), point)
}

/// Appends digits with the decimal point after the first `point` of them, filling with zeros on either side.
fn push_fixed(digits: &str, point: i32, out: &mut String) {
    let (whole, fraction) = match usize::try_from(point) {
        Ok(0) | Err(_) => ("", digits),
        Ok(n) if n >= digits.len() => (digits, ""),
        Ok(n) => digits.split_at(n),
    };
    out.push_str(if whole.is_empty() { "0" } else { whole });
    let n_trailing = usize::try_from(point).unwrap_or_default().saturating_sub(digits.len());
    out.extend(std::iter::repeat_n('0', n_trailing));
    if !fraction.is_empty() {
        out.push('.');
        out.extend(std::iter::repeat_n('0', usize::try_from(-point).unwrap_or_default()));
        out.push_str(fraction);
    }
}

/// Appends digits as `d[.ddd]`, the mantissa of the exponent form.
fn push_mantissa(digits: &str, out: &mut String) {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
}

/// Appends `float` as ECMAScript's `Number::toString` spells it (RFC 8785, section 3.2.2.3).
pub(super) fn push_ecmascript(float: f64, out: &mut String) {
    if float == 0.0 {
        out.push('0');
        return;
    }
    if float < 0.0 {
        out.push('-');
    }
    let (digits, point) = shortest(float.abs());
    if -6 < point && point <= 21 {
        push_fixed(&digits, point, out);
    } else {
        push_mantissa(&digits, out);
        let exponent = point - 1;
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&exponent.abs().to_string());
    }
}

/// Appends `float` as CPython's `repr` spells it.
pub(super) fn push_python(float: f64, out: &mut String) {
    if float.is_sign_negative() {
        out.push('-');
    }
    if float == 0.0 {
        out.push_str("0.0");
        return;
    }
    let (digits, point) = shortest(float.abs());
    if -4 < point && point <= 16 {
        push_fixed(&digits, point, out);
        if usize::try_from(point).is_ok_and(|n| n >= digits.len()) {
            out.push_str(".0");
        }
    } else {
        push_mantissa(&digits, out);
        let exponent = point - 1;
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&format!("{:02}", exponent.abs()));
    }
}
