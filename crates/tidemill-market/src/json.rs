//! A JSON body as a flat tape of spans: strict, bounded, one allocation, every value knows its bytes.

use std::borrow::Cow;

/// What stands at a place of the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

/// A value. For text, `start..end` leaves the quotes out; for containers it includes the brackets.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// Place after this value and all it holds.
    next: u32,
    kind: Kind,
    escaped: bool,
}

/// A parsed body. An object is followed on the tape by key, value, key, value…
pub(crate) struct Tape<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

/// A value on a tape.
#[derive(Clone, Copy)]
pub(crate) struct Value<'t, 'a> {
    tape: &'t Tape<'a>,
    place: u32,
}

/// Why a body is not JSON, and the byte at which it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) at: usize,
}

impl<'a> Tape<'a> {
    /// Parses a whole body by RFC 8259, nested at most `max_depth` deep. The caller bounds the length below 4 GiB.
    pub(crate) fn parse(text: &'a str, max_depth: usize) -> Result<Self, Fault> {
        // A pretty-printed bar takes about twelve bytes a node.
        let nodes = Vec::with_capacity(text.len() / 10 + 8);
        let mut parser = Parser { bytes: text.as_bytes(), at: 0, nodes };
        parser.document(max_depth)?;
        Ok(Tape { text, nodes: parser.nodes })
    }

    pub(crate) fn root(&self) -> Value<'_, 'a> {
        Value { tape: self, place: 0 }
    }
}

impl<'t, 'a> Value<'t, 'a> {
    fn node(self) -> &'t Node {
        &self.tape.nodes[self.place as usize]
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    /// The bytes of the value in the body, quotes and brackets included.
    pub(crate) fn span(self) -> (u32, u32) {
        let node = self.node();
        match node.kind {
            Kind::Text => (node.start - 1, node.end + 1),
            _ => (node.start, node.end),
        }
    }

    /// The characters of a text without its quotes and with its escapes, or the characters of any other value.
    pub(crate) fn source(self) -> &'a str {
        let node = self.node();
        &self.tape.text[node.start as usize..node.end as usize]
    }

    /// A text with its escapes resolved, or the characters of any other value.
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.node().escaped { Cow::Owned(unescape(self.source())) } else { Cow::Borrowed(self.source()) }
    }

    /// True for a text or number that reads exactly so.
    pub(crate) fn is(self, name: &str) -> bool {
        if self.node().escaped { self.text() == name } else { self.source() == name }
    }

    /// The values of an array, or key and value in turn of an object.
    pub(crate) fn children(self) -> Children<'t, 'a> {
        let node = self.node();
        let place = match node.kind {
            Kind::Array | Kind::Object => self.place + 1,
            _ => node.next,
        };
        Children { tape: self.tape, place, end: node.next }
    }

    /// Key and value of the members of an object; nothing for other values.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'t, 'a>, Value<'t, 'a>)> {
        let mut children = self.children();
        let object = self.kind() == Kind::Object;
        std::iter::from_fn(move || if object { Some((children.next()?, children.next()?)) } else { None })
    }

    /// The value under a member name or an array index.
    pub(crate) fn get(self, step: &str) -> Option<Value<'t, 'a>> {
        match self.kind() {
            Kind::Object => self.members().find(|(key, _)| key.is(step)).map(|(_, value)| value),
            Kind::Array => self.children().nth(step.parse().ok()?),
            _ => None,
        }
    }

    /// The value at the end of a path.
    pub(crate) fn at<S: AsRef<str>>(self, path: impl IntoIterator<Item = S>) -> Option<Value<'t, 'a>> {
        path.into_iter().try_fold(self, |value, step| value.get(step.as_ref()))
    }
}

/// Iterates over the values directly below one.
#[derive(Clone)]
pub(crate) struct Children<'t, 'a> {
    tape: &'t Tape<'a>,
    place: u32,
    end: u32,
}

impl<'t, 'a> Iterator for Children<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.place >= self.end {
            return None;
        }
        let value = Value { tape: self.tape, place: self.place };
        self.place = value.node().next;
        Some(value)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    fn document(&mut self, max_depth: usize) -> Result<(), Fault> {
        let mut open: Vec<u32> = Vec::with_capacity(8);
        self.skip_blank();
        loop {
            // A value begins here.
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    if open.len() >= max_depth {
                        return Err(self.fault("nested too deep"));
                    }
                    open.push(self.nodes.len() as u32);
                    let (kind, close) =
                        if bracket == b'{' { (Kind::Object, b'}') } else { (Kind::Array, b']') };
                    self.push(kind, self.at, self.at, false);
                    self.at += 1;
                    self.skip_blank();
                    if self.peek() != close {
                        if kind == Kind::Object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true", Kind::Bool)?,
                b'f' => self.literal("false", Kind::Bool)?,
                b'n' => self.literal("null", Kind::Null)?,
                _ => return Err(self.fault("expected a value")),
            }
            // After a value: the next one, or the end of what holds it.
            loop {
                self.skip_blank();
                let Some(&container) = open.last() else {
                    return if self.at == self.bytes.len() {
                        Ok(())
                    } else {
                        Err(self.fault("more after the end"))
                    };
                };
                let kind = self.nodes[container as usize].kind;
                match (self.peek(), kind) {
                    (b',', _) => {
                        self.at += 1;
                        self.skip_blank();
                        if kind == Kind::Object {
                            self.key()?;
                        }
                        break;
                    }
                    (b'}', Kind::Object) | (b']', Kind::Array) => {
                        self.at += 1;
                        let next = self.nodes.len() as u32;
                        let node = &mut self.nodes[container as usize];
                        (node.end, node.next) = (self.at as u32, next);
                        open.pop();
                    }
                    _ => return Err(self.fault("expected a comma or the end of the container")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(self.fault("expected a member name"));
        }
        self.string()?;
        self.skip_blank();
        if self.peek() != b':' {
            return Err(self.fault("expected a colon"));
        }
        self.at += 1;
        self.skip_blank();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += self.escape(at)?;
                }
                Some(0..0x20) => return Err(Fault { what: "control character in a text", at }),
                Some(_) => at += 1,
                None => return Err(Fault { what: "text without end", at }),
            }
        }
        self.push(Kind::Text, start, at, escaped);
        self.at = at + 1;
        Ok(())
    }

    /// Length of the escape sequence at this place.
    fn escape(&self, at: usize) -> Result<usize, Fault> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => {
                let hex = self.bytes.get(at + 2..at + 6).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
                if hex { Ok(6) } else { Err(Fault { what: "broken \\u escape", at }) }
            }
            _ => Err(Fault { what: "unknown escape", at }),
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(Kind::Number, start, self.at, false);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.fault("expected a digit")) }
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault("expected a value"));
        }
        self.push(kind, self.at, self.at + word.len(), false);
        self.at += word.len();
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: end as u32, next, kind, escaped });
    }

    fn skip_blank(&mut self) {
        // Pretty-printed bodies are half blanks: take eight at once.
        loop {
            match self.peek() {
                b' ' => {
                    while self.bytes.get(self.at..self.at + 8) == Some(b"        ".as_slice()) {
                        self.at += 8;
                    }
                    if self.peek() == b' ' {
                        self.at += 1;
                    }
                }
                b'\n' | b'\t' | b'\r' => self.at += 1,
                _ => return,
            }
        }
    }

    /// The byte here; 0, which may stand nowhere outside a text, at the end.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { what: if self.at >= self.bytes.len() { "body ends too early" } else { what }, at: self.at }
    }
}

/// Resolves the escapes of a text that [`Tape::parse`] has checked; a lone surrogate becomes U+FFFD.
fn unescape(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (char, used) = unicode_escape(after);
                out.push(char);
                rest = &after[used..];
                continue;
            }
            Some(plain) => out.push(plain),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// The character of `uXXXX`, or of `uXXXX\uXXXX` for a surrogate pair, and the bytes it takes.
fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(high) = unit(1) else { return (char::REPLACEMENT_CHARACTER, text.len().min(5)) };
    if (0xd800..0xdc00).contains(&high)
        && text.get(5..7) == Some("\\u")
        && let Some(low @ 0xdc00..0xe000) = unit(7)
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

#[cfg(test)]
mod tests;
