//! Doubles as Redis writes them (`d2string`): scores, and every double of a reply.
//!
//! ```text
//! nan  inf  -inf  0  -0     by name
//! 3  -4611686018427387904   whole numbers of up to half the range of 64 bits: as integers
//! 0.1  1e-7  1.5e+21        all others: the shortest digits that read back the same, laid out as fpconv_dtoa does
//! ```

/// The longest text: a sign, 17 digits, a point, `e-308`; or a sign, `0.`, up to 6 zeros and 17 digits.
pub const LEN_MAX: usize = 32;

/// Appends the text of `value` to `out`.
pub fn write(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if let Some(integer) = exact_integer(value) {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else {
        write_digits(out, value);
    }
}

/// The text of `value`.
pub fn to_text(value: f64) -> Vec<u8> {
    let mut text = Vec::with_capacity(LEN_MAX);
    write(&mut text, value);
    text
}

/// `value` as an integer, where it is one of at most half the range. (Redis: `double2ll`)
fn exact_integer(value: f64) -> Option<i64> {
    const HALF: f64 = (i64::MAX / 2) as f64;
    let integer = value as i64;
    (value.abs() <= HALF && integer as f64 == value).then_some(integer)
}

fn write_digits(out: &mut Vec<u8>, value: f64) {
    if value < 0.0 {
        out.push(b'-');
    }
    let mut scratch = [0; 17];
    let (digits, exponent) = shortest_digits(value.abs(), &mut scratch);
    lay_out(out, digits, exponent, value < 0.0);
}

/// The shortest decimal digits of a finite positive number, and the power of ten of the last of them.
fn shortest_digits(value: f64, scratch: &mut [u8; 17]) -> (&[u8], i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let (mantissa, mut exponent) = match text.iter().position(|&byte| byte == b'e') {
        Some(e) => {
            let digits = str::from_utf8(&text[e + 1..]).ok().and_then(|digits| digits.parse().ok());
            (&text[..e], digits.unwrap_or(0))
        }
        None => (text, 0),
    };
    let mut len = 0;
    let mut zeros = 0;
    let mut behind_point = false;
    for &byte in mantissa {
        match byte {
            b'.' => behind_point = true,
            b'0' => {
                // Zeros count once a digit follows them, and none do in front.
                zeros += 1;
                exponent -= i32::from(behind_point);
            }
            digit => {
                if len > 0 {
                    scratch[len..len + zeros].fill(b'0');
                    len += zeros;
                }
                zeros = 0;
                scratch[len] = digit;
                len += 1;
                exponent -= i32::from(behind_point);
            }
        }
    }
    (&scratch[..len], exponent + zeros as i32)
}

/// Lays digits out as fpconv's `emit_digits`; `exponent` is the power of ten of the last digit.
fn lay_out(out: &mut Vec<u8>, digits: &[u8], exponent: i32, negative: bool) {
    let magnitude = (exponent + digits.len() as i32 - 1).abs();
    if exponent >= 0 && magnitude < digits.len() as i32 + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + exponent as usize, b'0');
        return;
    }
    if exponent < 0 && (exponent > -7 || magnitude < 4) {
        let point = digits.len() as i32 + exponent;
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let (whole, fraction) = digits.split_at(point as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        return;
    }
    let digits = &digits[..digits.len().min(18 - usize::from(negative))];
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent + (digits.len() as i32) < 1 { b"e-" } else { b"e+" });
    out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
}
