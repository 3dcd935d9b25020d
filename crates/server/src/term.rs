//! Erlang terms as text: what `etc/acl.conf`, `ssl_dist.conf` and the lists of modules are written in.
//!
//! A file is a sequence of terms, each ended by a full stop. Read are atoms, numbers, strings, binaries, lists, tuples and maps;
//! nothing is evaluated.

use std::fmt;

/// A term.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// `allow`, `'emqx@h'`.
    Atom(String),
    /// `42`, `$a`. One beyond 64 bits is refused.
    Integer(i64),
    /// `0.75`.
    Float(f64),
    /// `"text"`; Erlang reads it as a list of characters.
    Text(String),
    /// `<<"text">>`, `<<1,2>>`.
    Binary(Vec<u8>),
    /// `[a, b]`.
    List(Vec<Term>),
    /// `{a, b}`.
    Tuple(Vec<Term>),
    /// `#{a => b}`.
    Map(Vec<(Term, Term)>),
}

/// Why a text is no sequence of terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for TermError {}

/// How deep terms may be nested: deeper ones are no configuration, and would exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Reads all terms of a text.
///
/// # Errors
/// The place of the first thing that is no term.
pub fn parse(text: &str) -> Result<Vec<Term>, TermError> {
    let mut parser = Parser { letters: text.chars().collect(), at: 0 };
    let mut terms = Vec::new();
    loop {
        parser.skip_blanks();
        if parser.peek().is_none() {
            return Ok(terms);
        }
        terms.push(parser.term(0)?);
        parser.expect('.')?;
    }
}

struct Parser {
    letters: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn peek_second(&self) -> Option<char> {
        self.letters.get(self.at + 1).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, TermError> {
        let before = &self.letters[..self.at.min(self.letters.len())];
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        Err(TermError { line, column, what: what.into() })
    }

    fn skip_blanks(&mut self) {
        while let Some(letter) = self.peek() {
            if letter == '%' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else if letter.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), TermError> {
        self.skip_blanks();
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        match self.peek() {
            Some(found) => self.error(format!("expected {wanted:?}, found {found:?}")),
            None => self.error(format!("expected {wanted:?}, found the end")),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, TermError> {
        if depth > DEPTH_MAX {
            return self.error("terms are nested too deeply");
        }
        self.skip_blanks();
        match self.peek() {
            Some('{') => self.sequence('{', '}', depth).map(Term::Tuple),
            Some('[') => self.sequence('[', ']', depth).map(Term::List),
            Some('#') => self.map(depth),
            Some('<') => self.binary(),
            Some('"') => self.texts(),
            Some('\'') => self.quoted('\'').map(Term::Atom),
            Some('$') => self.character(),
            Some('+' | '-' | '0'..='9') => self.number(),
            Some(letter) if letter.is_lowercase() => Ok(Term::Atom(self.word())),
            Some(letter) => self.error(format!("{letter:?} begins no term")),
            None => self.error("a term is missing at the end"),
        }
    }

    fn sequence(&mut self, open: char, close: char, depth: usize) -> Result<Vec<Term>, TermError> {
        self.expect(open)?;
        let mut parts = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(parts);
        }
        loop {
            parts.push(self.term(depth + 1)?);
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                _ => {
                    self.expect(close)?;
                    return Ok(parts);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Term, TermError> {
        self.expect('#')?;
        self.expect('{')?;
        let mut pairs = Vec::new();
        self.skip_blanks();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(Term::Map(pairs));
        }
        loop {
            let key = self.term(depth + 1)?;
            self.expect('=')?;
            self.expect('>')?;
            pairs.push((key, self.term(depth + 1)?));
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                _ => {
                    self.expect('}')?;
                    return Ok(Term::Map(pairs));
                }
            }
        }
    }

    fn binary(&mut self) -> Result<Term, TermError> {
        self.expect('<')?;
        self.expect('<')?;
        let mut bytes = Vec::new();
        self.skip_blanks();
        while self.peek() != Some('>') {
            if self.peek() == Some('"') {
                let text = self.quoted('"')?;
                if self.rest_starts_with("/utf8") {
                    self.at += "/utf8".len();
                    bytes.extend(text.bytes());
                } else {
                    // Without /utf8 each character is one byte, as Erlang has it.
                    for letter in text.chars() {
                        match u8::try_from(u32::from(letter)) {
                            Ok(byte) => bytes.push(byte),
                            Err(_) => {
                                return self.error(format!("{letter:?} is more than a byte without /utf8"));
                            }
                        }
                    }
                }
            } else {
                match self.number()? {
                    Term::Integer(byte) if (0..256).contains(&byte) => bytes.push(byte as u8),
                    _ => return self.error("a binary holds bytes from 0 to 255"),
                }
            }
            self.skip_blanks();
            if self.peek() == Some(',') {
                self.at += 1;
                self.skip_blanks();
            } else if self.peek() != Some('>') {
                return self.error("expected ',' or \">>\" in a binary");
            }
        }
        self.expect('>')?;
        self.expect('>')?;
        Ok(Term::Binary(bytes))
    }

    fn rest_starts_with(&self, text: &str) -> bool {
        self.letters[self.at..].iter().copied().take(text.len()).eq(text.chars())
    }

    /// Strings that follow one another are one string.
    fn texts(&mut self) -> Result<Term, TermError> {
        let mut text = self.quoted('"')?;
        self.skip_blanks();
        while self.peek() == Some('"') {
            text.push_str(&self.quoted('"')?);
            self.skip_blanks();
        }
        Ok(Term::Text(text))
    }

    fn quoted(&mut self, quote: char) -> Result<String, TermError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.error(format!("a {quote} is not closed")),
                Some(letter) if letter == quote => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(letter) => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, TermError> {
        let letter = match self.next() {
            None => return self.error("the text ends inside an escape"),
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('s') => ' ',
            Some('b') => '\u{8}',
            Some('d') => '\u{7f}',
            Some('e') => '\u{1b}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some('x') => return self.hexadecimal(),
            Some(digit @ '0'..='7') => {
                let mut code = digit.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(more) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + more;
                    self.at += 1;
                }
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            Some(other) => other,
        };
        Ok(letter)
    }

    fn hexadecimal(&mut self) -> Result<char, TermError> {
        let braces = self.peek() == Some('{');
        if braces {
            self.at += 1;
        }
        let mut code: u32 = 0;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) {
            if digits == if braces { 6 } else { 2 } {
                break;
            }
            code = code * 16 + digit;
            digits += 1;
            self.at += 1;
        }
        if digits == 0 || (braces && self.next() != Some('}')) {
            return self.error("that is no \\x escape");
        }
        match char::from_u32(code) {
            Some(letter) => Ok(letter),
            None => self.error("that is no character"),
        }
    }

    fn character(&mut self) -> Result<Term, TermError> {
        self.at += 1;
        let letter = match self.next() {
            Some('\\') => self.escaped()?,
            Some(letter) => letter,
            None => return self.error("a character is missing behind $"),
        };
        Ok(Term::Integer(i64::from(u32::from(letter))))
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(letter) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_' || *c == '@') {
            word.push(letter);
            self.at += 1;
        }
        word
    }

    fn number(&mut self) -> Result<Term, TermError> {
        let start = self.at;
        if matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
        }
        let digits = |parser: &mut Self| {
            let from = parser.at;
            while parser.peek().is_some_and(|c| c.is_ascii_digit()) {
                parser.at += 1;
            }
            parser.at > from
        };
        if !digits(self) {
            return self.error("a digit is missing");
        }
        let mut float = false;
        // A full stop is part of the number only before a digit; otherwise it ends the term.
        if self.peek() == Some('.') && self.peek_second().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            digits(self);
            float = true;
            if matches!(self.peek(), Some('e' | 'E')) {
                self.at += 1;
                if matches!(self.peek(), Some('+' | '-')) {
                    self.at += 1;
                }
                if !digits(self) {
                    return self.error("a digit is missing in the exponent");
                }
            }
        }
        let text: String = self.letters[start..self.at].iter().collect();
        let term =
            if float { text.parse().ok().map(Term::Float) } else { text.parse().ok().map(Term::Integer) };
        match term {
            Some(term) => Ok(term),
            None => self.error("the number is too large"),
        }
    }
}

/// An atom as Erlang prints it: in quotes unless it is a bare word.
pub fn quote_atom(atom: &str) -> String {
    let mut letters = atom.chars();
    let bare = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
    if bare { atom.to_owned() } else { format!("'{}'", escape(atom, '\'')) }
}

fn escape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            letter if letter == quote => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\x{{{:x}}}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, parts: &[Term]| {
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    f.write_str(",")?;
                }
                part.fmt(f)?;
            }
            Ok(())
        };
        match self {
            Term::Atom(atom) => f.write_str(&quote_atom(atom)),
            Term::Integer(number) => number.fmt(f),
            Term::Float(number) => write!(f, "{number:?}"),
            Term::Text(text) => write!(f, "\"{}\"", escape(text, '"')),
            Term::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => write!(f, "<<\"{}\">>", escape(text, '"')),
                Ok(text) => write!(f, "<<\"{}\"/utf8>>", escape(text, '"')),
                Err(_) => {
                    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
                    write!(f, "<<{}>>", numbers.join(","))
                }
            },
            Term::List(parts) => {
                f.write_str("[")?;
                row(f, parts)?;
                f.write_str("]")
            }
            Term::Tuple(parts) => {
                f.write_str("{")?;
                row(f, parts)?;
                f.write_str("}")
            }
            Term::Map(pairs) => {
                f.write_str("#{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{key} => {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(text: &str) -> Term {
        Term::Atom(text.to_owned())
    }

    #[test]
    fn access_rules_are_terms() {
        let text = "%% rules\n{allow, {user, \"dashboard\"}, subscribe, [\"$SYS/#\"]}.\n{deny, all, subscribe, [\"$SYS/#\", {eq, \"#\"}]}.\n{allow, all}.";
        let terms = parse(text).unwrap();
        assert_eq!(terms.len(), 3);
        assert_eq!(terms[2], Term::Tuple(vec![atom("allow"), atom("all")]));
        assert_eq!(terms[0].to_string(), "{allow,{user,\"dashboard\"},subscribe,[\"$SYS/#\"]}");
    }

    #[test]
    fn every_kind_of_term_is_read_and_printed() {
        let cases = [
            ("'emqx@s1.emqx.io'.", "'emqx@s1.emqx.io'"),
            ("emqx@localhost.", "emqx@localhost"),
            ("-12 .", "-12"),
            ("1.5e3.", "1500.0"),
            ("$a.", "97"),
            ("\"a\" \"b\\n\".", "\"ab\\n\""),
            ("<<\"ab\">>.", "<<\"ab\">>"),
            ("<<\"\u{e9}\"/utf8>>.", "<<\"\u{e9}\"/utf8>>"),
            ("<<1, 255>>.", "<<1,255>>"),
            ("[].", "[]"),
            ("{ }.", "{}"),
            ("#{ a => 1 , \"b\" => [c] }.", "#{a => 1,\"b\" => [c]}"),
            ("'it\\'s'.", "'it\\'s'"),
            ("\"\\x{1F600}\\x41\\101\".", "\"\u{1F600}AA\""),
        ];
        for (text, printed) in cases {
            let terms = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(terms.len(), 1, "{text}");
            assert_eq!(terms[0].to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_term_has_a_place() {
        for text in [
            "{a",
            "a",
            "{a,}.",
            "[a b].",
            "Var.",
            "\"x",
            "<<256>>.",
            "99999999999999999999.",
            "#{a}.",
            "$",
            "'\\",
            "1.5e.",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("{a,\n  ?}.").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().what.contains("deeply"));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let alphabet = "{}[]<>#=,.%'\"\\x$a1-+ \n\u{e9}e";
        let letters: Vec<char> = alphabet.chars().collect();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(letters[(state >> 33) as usize % letters.len()]);
            }
            let _ = parse(&text);
        }
    }
}
