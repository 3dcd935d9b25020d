//! The types of values: what each accepts, and the words with which it refuses.
//!
//! The words are those that users of EMQ X 4.4 know from its configuration tool.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::table::Kind;

/// Where a listener waits for clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and a port; a bare port stands for `0.0.0.0:port`.
    Socket(SocketAddr),
    /// The absolute path of a Unix socket.
    Path(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Socket(address) => address.fmt(f),
            ListenAddress::Path(path) => path.display().fmt(f),
        }
    }
}

/// So much in a time, as in `100KB,10s` or `10,1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes or messages.
    pub amount: u64,
    /// The time in which they may come.
    pub per: Duration,
}

/// Checks that `text` is a value of `kind`.
///
/// # Errors
/// The sentence that says what is wrong.
pub fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Atom | Kind::Text | Kind::File => Ok(()),
        Kind::Flag => flag(text).map(|_| ()),
        Kind::OneOf(words) => one_of(words, text),
        Kind::Integer => integer(text).map(|_| ()),
        Kind::Float => float(text).map(|_| ()),
        Kind::Duration | Kind::Seconds => duration(text).map(|_| ()),
        Kind::ByteSize => byte_size(text).map(|_| ()),
        Kind::Percent => percent(text).map(|_| ()),
        Kind::Address => address(text).map(|_| ()),
        Kind::Listen => listen(text).map(|_| ()),
        Kind::IntegerOrDuration => {
            if integer(text).is_ok() {
                return Ok(());
            }
            duration(text).map(|_| ())
        }
        Kind::IntegerOr(words) => {
            if one_of(words, text).is_ok() {
                return Ok(());
            }
            integer(text).map(|_| ())
        }
        // The words beside a size or a duration are only examples there: EMQ X takes any atom.
        Kind::ByteSizeOr(words) | Kind::DurationOr(words) if words.contains(&text) => Ok(()),
        Kind::ByteSizeOr(_) => byte_size(text).map(|_| ()),
        Kind::DurationOr(_) => duration(text).map(|_| ()),
        Kind::Server => Ok(()),
    }
}

/// `on` or `off`.
///
/// # Errors
/// The sentence that says what is wrong; so for all functions here.
pub fn flag(text: &str) -> Result<bool, String> {
    one_of(&["on", "off"], text)?;
    Ok(text == "on")
}

/// One of `words`, exactly.
pub fn one_of(words: &[&str], text: &str) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!("\"{text}\" is not a valid enum value, acceptable values are: {}", words.join(", ")))
}

/// A whole number. One beyond 64 bits is taken for the largest or smallest.
pub fn integer(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if !all_digits(digits) {
        return Err(format!("\"{text}\" cannot be converted to a(n) integer"));
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Ok(if negative { -magnitude } else { magnitude })
}

/// A decimal fraction or a whole number.
pub fn float(text: &str) -> Result<f64, String> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = match number.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => all_digits(number),
    };
    match text.parse::<f64>() {
        Ok(value) if plain => Ok(value),
        _ => Err(format!("\"{text}\" cannot be converted to a(n) float")),
    }
}

/// One or more of a number and a unit (`f`ortnight, `w`, `d`, `h`, `m`, `s`, `ms`), added up, rounded up to milliseconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("Invalid duration value: {text}");
    let mut rest = text;
    let mut total_ms = 0.0_f64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(end);
        let legal = match number.split_once('.') {
            Some((whole, fraction)) => (whole.is_empty() || all_digits(whole)) && all_digits(fraction),
            None => all_digits(number) && !number.starts_with('0'),
        };
        if !legal {
            return Err(bad());
        }
        let lower: [u8; 2] = [0, 1].map(|i| tail.as_bytes().get(i).map_or(0, u8::to_ascii_lowercase));
        let (unit_ms, length) = match lower {
            [b'm', b's'] => (1.0, 2),
            [b's', _] => (1_000.0, 1),
            [b'm', _] => (60_000.0, 1),
            [b'h', _] => (3_600_000.0, 1),
            [b'd', _] => (86_400_000.0, 1),
            [b'w', _] => (604_800_000.0, 1),
            [b'f', _] => (1_209_600_000.0, 1),
            _ => return Err(bad()),
        };
        total_ms += number.parse::<f64>().map_err(|_| bad())? * unit_ms;
        rest = &tail[length..];
    }
    // A float that is too large becomes the largest integer; a thousandth of that still fits every clock.
    Ok(Duration::from_millis((total_ms.ceil() as u64).min(u64::MAX / 1_000_000)))
}

/// A number of bytes, optionally in `KB`, `MB`, `GB` (or `kb`, `mb`, `gb`) of 1024.
pub fn byte_size(text: &str) -> Result<u64, String> {
    let units = [("KB", 10), ("kb", 10), ("MB", 20), ("mb", 20), ("GB", 30), ("gb", 30)];
    let unit = units.iter().find_map(|(unit, bits)| text.strip_suffix(unit).map(|digits| (digits, *bits)));
    let (digits, bits) = unit.unwrap_or((text, 0));
    if !all_digits(digits) {
        return Err(format!("\"{text}\" cannot be converted to a(n) bytesize"));
    }
    Ok(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1 << bits))
}

/// Digits and `%`, from 0 to 100; the result is that number.
pub fn percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').filter(|digits| all_digits(digits));
    let Some(digits) = digits else {
        return Err(format!("\"{text}\" cannot be converted to a(n) percent"));
    };
    match digits.parse::<u8>() {
        Ok(number) if number <= 100 => Ok(number),
        _ => Err(format!("{text} can't be outside the range 0 - 100%")),
    }
}

/// An address and a port; the last colon splits, and brackets around an IPv6 address are welcome.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let bad = || format!("\"{text}\" cannot be converted to a(n) IP");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port_number(port).ok_or_else(bad)?;
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    Ok(SocketAddr::new(host.parse::<IpAddr>().map_err(|_| bad())?, port))
}

/// A port, an address with a port, or an absolute path.
pub fn listen(text: &str) -> Result<ListenAddress, String> {
    if text.starts_with('/') {
        return Ok(ListenAddress::Path(PathBuf::from(text)));
    }
    if all_digits(text) {
        let port =
            port_number(text).ok_or_else(|| format!("\"{text}\" cannot be converted to a(n) port number"))?;
        return Ok(ListenAddress::Socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)));
    }
    address(text).map(ListenAddress::Socket)
}

/// The elements of a list that is separated by commas and blanks.
pub fn list(text: &str) -> Vec<String> {
    text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// `AMOUNT,TIME`, where the amount may have a unit of bytes.
pub fn rate(text: &str) -> Result<Rate, String> {
    let bad = || format!("\"{text}\" cannot be converted to a(n) rate such as 100KB,10s");
    let parts = list(text);
    let [amount, per] = parts.as_slice() else { return Err(bad()) };
    let per = duration(per)?;
    if per.is_zero() {
        return Err(bad());
    }
    Ok(Rate { amount: byte_size(amount).map_err(|_| bad())?, per })
}

fn port_number(text: &str) -> Option<u16> {
    if all_digits(text) { text.parse().ok() } else { None }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_table() {
        let good = [
            ("5m", 300_000),
            ("300s", 300_000),
            ("1m30s", 90_000),
            (".5h", 1_800_000),
            ("1h30m", 5_400_000),
            ("1.5S", 1_500),
            ("10ms", 10),
            ("2D", 172_800_000),
            ("1w", 604_800_000),
            ("1f", 1_209_600_000),
            ("0.0s", 0),
            ("1M", 60_000),
            ("1s500MS", 1_500),
        ];
        for (text, ms) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["300", "0s", "", "s", "5x", "1.s", "05m", "1h30", "-5s", "5 m", "1..5s", "é"] {
            assert_eq!(duration(text), Err(format!("Invalid duration value: {text}")));
        }
        assert!(duration("99999999999999999999999d").is_ok());
    }

    #[test]
    fn sizes_take_one_case_of_unit() {
        assert_eq!(byte_size("1MB"), Ok(1 << 20));
        assert_eq!(byte_size("64kb"), Ok(65_536));
        assert_eq!(byte_size("2GB"), Ok(2 << 30));
        assert_eq!(byte_size("100"), Ok(100));
        for text in ["1Kb", "KB", "", "1.5MB", "-1", "1 MB", "1TB"] {
            assert_eq!(byte_size(text), Err(format!("\"{text}\" cannot be converted to a(n) bytesize")));
        }
    }

    #[test]
    fn flags_and_words_are_exact() {
        assert_eq!(flag("on"), Ok(true));
        assert_eq!(
            flag("true"),
            Err("\"true\" is not a valid enum value, acceptable values are: on, off".to_owned())
        );
        assert!(one_of(&["a", "srv"], "A").is_err());
    }

    #[test]
    fn numbers_and_percentages() {
        assert_eq!(integer("-12"), Ok(-12));
        assert_eq!(integer("+7"), Ok(7));
        assert_eq!(integer("12x"), Err("\"12x\" cannot be converted to a(n) integer".to_owned()));
        assert_eq!(integer("99999999999999999999"), Ok(i64::MAX));
        assert!(integer("-").is_err());
        assert_eq!(float("0.75"), Ok(0.75));
        assert!(float("inf").is_err());
        assert!(float(".5").is_err());
        assert_eq!(percent("70%"), Ok(70));
        assert!(percent("70").is_err());
        assert_eq!(percent("101%"), Err("101% can't be outside the range 0 - 100%".to_owned()));
    }

    #[test]
    fn addresses_split_at_the_last_colon() {
        assert_eq!(address("127.0.0.1:1883"), Ok("127.0.0.1:1883".parse().unwrap()));
        assert_eq!(address(":::1883"), Ok("[::]:1883".parse().unwrap()));
        assert_eq!(address("[::1]:1883"), Ok("[::1]:1883".parse().unwrap()));
        assert_eq!(address("1883"), Err("\"1883\" cannot be converted to a(n) IP".to_owned()));
        assert!(address("localhost:1883").is_err());
        assert!(address("127.0.0.1:70000").is_err());
        assert_eq!(listen("8883").unwrap().to_string(), "0.0.0.0:8883");
        assert_eq!(listen("/run/mqtt.sock"), Ok(ListenAddress::Path("/run/mqtt.sock".into())));
        assert!(listen("99999").is_err());
        assert!(listen("run/mqtt.sock").is_err());
    }

    #[test]
    fn lists_and_rates() {
        assert_eq!(list("a, b,,c d"), ["a", "b", "c", "d"]);
        assert_eq!(rate("100KB,10s"), Ok(Rate { amount: 102_400, per: Duration::from_secs(10) }));
        assert!(rate("100KB").is_err());
    }
}
