//! The text of doubles, as Redis writes them (`d2string`): in scores, and in the doubles of replies.
//!
//! ```text
//! nan  inf  -inf  0  -0     special values
//! 3  -4611686018427387904   whole numbers of at most half the range of 64 bits: as integers
//! 0.1  1e-7  1.5e+21        all others: digits that parse to the same double, in the layout of fpconv_dtoa
//! ```

/// An upper bound of the text's length in bytes. The longest texts are a sign, 17 digits, a point and `e-308`; or a sign, `0.`, 6 zeros and
/// 17 digits.
pub const LEN_MAX: usize = 32;

/// Appends the text of `value` to `out`.
pub fn write(out: &mut Vec<u8>, value: f64) {
    match exact_integer(value) {
        Some(integer) if integer != 0 => out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes()),
        _ => write_shortest(out, value),
    }
}

/// As [`write()`], but whole numbers have no layout of their own, so that 10^11 is `1e+11`. (Redis: `fpconv_dtoa`)
pub fn write_shortest(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else {
        write_digits(out, value);
    }
}

/// Returns the text of `value`.
pub fn to_text(value: f64) -> Vec<u8> {
    let mut text = Vec::with_capacity(LEN_MAX);
    write(&mut text, value);
    text
}

/// Returns `value` as an integer, if it is a whole number of at most half the range of 64 bits. (Redis: `double2ll`)
fn exact_integer(value: f64) -> Option<i64> {
    const HALF: f64 = (i64::MAX / 2) as f64;
    let integer = value as i64;
    (value.abs() <= HALF && integer as f64 == value).then_some(integer)
}

fn write_digits(out: &mut Vec<u8>, value: f64) {
    if value < 0.0 {
        out.push(b'-');
    }
    let mut digits = [0; DIGITS_MAX];
    let (len, exponent) = grisu2(value.abs(), &mut digits);
    lay_out(out, &digits[..len], exponent, value < 0.0);
}

const DIGITS_MAX: usize = 18;

/// The number `fraction × 2^exponent`.
#[derive(Clone, Copy)]
struct Binary {
    fraction: u64,
    exponent: i32,
}

/// Computes the digits of a finite positive number. Returns the number of digits, and the power of ten of the last one.
///
/// The digits parse to the same double. Once in a few hundred numbers they are not the shortest or the closest such digits. They are
/// Redis's, which clients can see. (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", 2010, as in
/// fpconv, which is Redis's deps/fpconv)
fn grisu2(value: f64, digits: &mut [u8; DIGITS_MAX]) -> (usize, i32) {
    const HIDDEN_BIT: u64 = 1 << 52;
    let (raw_fraction, raw_exponent) = (value.to_bits() & (HIDDEN_BIT - 1), (value.to_bits() >> 52) as i32);
    let number = match raw_exponent {
        0 => Binary { fraction: raw_fraction, exponent: 1 - 1075 },
        _ => Binary { fraction: raw_fraction | HIDDEN_BIT, exponent: raw_exponent - 1075 },
    };
    // The boundaries lie halfway to the neighbouring doubles. The lower neighbour of a power of two is nearer than the upper one.
    let upper = normalized(Binary { fraction: number.fraction * 2 + 1, exponent: number.exponent - 1 });
    let nearer = if number.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower = Binary { fraction: (number.fraction << nearer) - 1, exponent: number.exponent - nearer };
    let lower = Binary { fraction: lower.fraction << (lower.exponent - upper.exponent), exponent: upper.exponent };

    let (power, power_exponent) = cached_power(upper.exponent);
    let scaled = product(normalized(number), power);
    let upper = product(upper, power);
    let lower = product(lower, power);
    generate_digits(scaled.fraction, upper.fraction - 1, lower.fraction + 1, upper.exponent, -power_exponent, digits)
}

fn normalized(number: Binary) -> Binary {
    let shift = number.fraction.leading_zeros();
    Binary { fraction: number.fraction << shift, exponent: number.exponent - shift as i32 }
}

/// Returns the upper half of the product, rounded.
fn product(a: Binary, b: Binary) -> Binary {
    let (a_high, a_low) = (a.fraction >> 32, a.fraction & 0xffff_ffff);
    let (b_high, b_low) = (b.fraction >> 32, b.fraction & 0xffff_ffff);
    let (middle_a, middle_b) = (a_high * b_low, a_low * b_high);
    let carry = (middle_a & 0xffff_ffff) + (middle_b & 0xffff_ffff) + ((a_low * b_low) >> 32) + (1 << 31);
    Binary {
        fraction: a_high * b_high + (middle_a >> 32) + (middle_b >> 32) + (carry >> 32),
        exponent: a.exponent + b.exponent + 64,
    }
}

/// Computes the digits of a number between `lower` and `upper` with as few digits as possible, and of such numbers the nearest to `scaled`.
/// All three are multiplied by `2^exponent`.
fn generate_digits(
    scaled: u64,
    upper: u64,
    lower: u64,
    exponent: i32,
    decimal_exponent: i32,
    digits: &mut [u8; DIGITS_MAX],
) -> (usize, i32) {
    let shift = -exponent as u32;
    let one = 1u64 << shift;
    let distance = upper - scaled;
    let mut delta = upper - lower;
    let mut whole = upper >> shift;
    let mut fraction = upper & (one - 1);
    let mut len = 0;
    let mut place = 1_000_000_000;
    for power in (0..10).rev() {
        let digit = whole / place;
        if digit > 0 || len > 0 {
            digits[len] = b'0' + digit as u8;
            len += 1;
        }
        whole -= digit * place;
        let rest = (whole << shift) + fraction;
        if rest <= delta {
            round_last(&mut digits[..len], delta, rest, place << shift, distance);
            return (len, decimal_exponent + power);
        }
        place /= 10;
    }
    let mut unit = 1u64;
    let mut power = 0;
    loop {
        fraction *= 10;
        delta = delta.wrapping_mul(10);
        unit = unit.wrapping_mul(10);
        power -= 1;
        let digit = fraction >> shift;
        if digit > 0 || len > 0 {
            digits[len] = b'0' + digit as u8;
            len += 1;
        }
        fraction &= one - 1;
        if fraction < delta {
            round_last(&mut digits[..len], delta, fraction, one, distance.wrapping_mul(unit));
            return (len, decimal_exponent + power);
        }
    }
}

/// Decrements the last digit as long as that brings the number nearer to the exact one.
fn round_last(digits: &mut [u8], delta: u64, mut rest: u64, place: u64, distance: u64) {
    let Some(last) = digits.last_mut() else { return };
    while rest < distance
        && delta - rest >= place
        && (rest + place < distance || distance - rest > rest + place - distance)
    {
        *last -= 1;
        rest += place;
    }
}

/// Returns a power of ten, and its decimal exponent. The product of it and a number with this binary exponent has a binary exponent between
/// −60 and −32.
fn cached_power(exponent: i32) -> (Binary, i32) {
    const LOG10_2: f64 = 0.301_029_995_663_981_14;
    let approximate = (-f64::from(exponent + POWERS.len() as i32) * LOG10_2) as i32;
    let mut index = ((approximate - POWER_FIRST) / POWER_STEP) as usize;
    loop {
        let decimal = POWER_FIRST + index as i32 * POWER_STEP;
        let power = Binary { fraction: POWERS[index], exponent: ((decimal * 217_706) >> 16) - 63 };
        match exponent + power.exponent + 64 {
            ..-60 => index += 1,
            -60..=-32 => return (power, decimal),
            _ => index -= 1,
        }
    }
}

/// Appends digits in the layout of fpconv's `emit_digits`. `exponent` is the power of ten of the last digit.
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

const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;

/// The powers `10^(POWER_FIRST + POWER_STEP × i)`, rounded to 64 bits.
#[rustfmt::skip]
static POWERS: [u64; 87] = [
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea, 0x9a6bb0aa55653b2d,
    0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f, 0xbe5691ef416bd60c, 0x8dd01fad907ffc3c,
    0xd3515c2831559a83, 0x9d71ac8fada6c9b5, 0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57,
    0xc21094364dfb5637, 0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
    0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996, 0xdbac6c247d62a584,
    0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8, 0x87625f056c7c4a8b, 0xc9bcff6034c13053,
    0x964e858c91ba2655, 0xdff9772470297ebd, 0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf,
    0x8a08f0f8bf0f156b, 0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
    0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c, 0x9c40000000000000,
    0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984, 0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70,
    0xd5d238a4abe98068, 0x9f4f2726179a2245, 0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db,
    0xc45d1df942711d9a, 0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3, 0xde469fbd99a05fe3,
    0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece, 0x88fcf317f22241e2, 0xcc20ce9bd35c78a5,
    0x98165af37b2153df, 0xe2a0b5dc971f303a, 0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410,
    0x8bab8eefb6409c1a, 0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
    0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841, 0x9e19db92b4e31ba9,
    0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The left column is Redis 8.2's reply to ZSCORE for the right one.
    #[test]
    fn texts_are_those_of_redis() {
        for (text, value) in [
            ("0", 0.0),
            ("1", 1.0),
            ("-1", -1.0),
            ("1.5", 1.5),
            ("100", 100.0),
            ("100000", 1e5),
            ("1000000000000000", 1e15),
            ("10000000000000000", 1e16),
            ("100000000000000000", 1e17),
            ("1000000000000000000", 1e18),
            ("123456789012345680", 123456789012345678.0),
            ("1e+19", 1e19),
            ("1e+20", 1e20),
            ("1e+21", 1e21),
            ("1e+22", 1e22),
            ("1.5e+22", 1.5e22),
            ("1.5e+300", 1.5e300),
            ("0.1", 1e-1),
            ("0.01", 1e-2),
            ("0.001", 1e-3),
            ("0.0001", 1e-4),
            ("0.00001", 1e-5),
            ("0.000001", 1e-6),
            ("1e-7", 1e-7),
            ("1.5e-7", 1.5e-7),
            ("1e-10", 1e-10),
            ("1.234567e-10", 1.234567e-10),
            ("123456.789", 123456.789),
            ("3", 3.0),
            ("0.1", 0.1),
            ("0.30000000000000004", 0.30000000000000004),
            ("5e-324", 5e-324),
            ("1.7976931348623157e+308", 1.7976931348623157e308),
            ("inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("4503599627370496", 4503599627370496.5),
            ("9007199254740992", 9007199254740993.0),
            ("12345678901234567000", 12345678901234567890.0),
            ("1234567890123456800000", 1234567890123456789012.0),
            ("-1.5", -1.5),
            ("-1e-7", -1e-7),
            ("1.0000000000000002", 1.0000000000000002),
            ("9223372036854776000", 9223372036854775807.0),
            ("9223372036854776000", 9223372036854775808.0),
            ("4611686018427387904", 4611686018427387904.0),
            ("-9223372036854776000", -9223372036854775808.0),
            ("1.2345e-5", 1.2345e-5),
            ("1234500000000000", 1.2345e15),
            ("1.2345678e+19", 12345.678e15),
            ("1.234e-5", 0.00001234),
            ("1e+100", 1e100),
            ("1.2e+100", 12e99),
            ("1e-100", 1e-100),
            ("1234567.1", 1234567.1),
            ("-1316910062502811.7", -1316910062502811.8),
            ("2551000000000000300000", 25510e17),
            ("-1232499999999999900000", -12325e17),
            ("168898538960395.63", 168898538960395.62),
            ("6.9849714622994664e+112", 6.984971462299466e+112),
            ("-1.1720304833495199e+5", -117203.048334952),
            ("688329999999999900000", 68833e16),
            ("-0", -0.0),
            ("nan", f64::NAN),
        ] {
            assert_eq!(String::from_utf8_lossy(&to_text(value)), text);
        }
    }

    #[test]
    fn texts_read_back_as_the_same_number() {
        // The values cover all exponents, and many fractions of each.
        let mut bits = 1u64;
        while bits < f64::INFINITY.to_bits() {
            let value = f64::from_bits(bits);
            for value in [value, -value] {
                let text = to_text(value);
                assert!(text.len() <= LEN_MAX);
                let text = String::from_utf8(text).expect("the text is ASCII");
                assert_eq!(text.parse(), Ok(value), "{text}");
            }
            bits = bits + (bits >> 9) / 3 + 1;
        }
    }
}
