//! The cookies of one user: kept by name, sent back to the one target there is.

/// A user's cookies. Domain, path and life are not looked at: a run has one target and ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(Vec<(Vec<u8>, Vec<u8>)>);

impl Jar {
    /// The most cookies of one user.
    const MOST: usize = 50;

    /// Takes a `Set-Cookie` line; an empty value or `Max-Age=0` removes the cookie.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let mut parts = line.split(|byte| *byte == b';');
        let Some((name, value)) = parts.next().and_then(pair) else { return };
        let gone = value.is_empty() || parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(b"max-age=0"));
        self.0.retain(|(kept, _)| kept != name);
        if !gone && self.0.len() < Self::MOST {
            self.0.push((name.to_vec(), value.to_vec()));
        }
    }

    /// The value of a `Cookie` header; empty without cookies.
    pub(crate) fn line(&self) -> Vec<u8> {
        let pairs: Vec<Vec<u8>> =
            self.0.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
        pairs.join(&b"; "[..])
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (text[..at].trim_ascii(), text[at + 1..].trim_ascii());
    let plain = |text: &[u8]| text.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    (!name.is_empty() && plain(name) && plain(value)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_replaced_removed_and_bounded() {
        let mut jar = Jar::default();
        jar.take(b"a=1; Path=/; HttpOnly");
        jar.take(b" b = x=y ");
        jar.take(b"a=2");
        assert_eq!(jar.line(), b"b=x=y; a=2");
        jar.take(b"b=; x");
        jar.take(b"a=2; Max-Age=0");
        assert_eq!(jar.line(), b"");
        for bad in [&b""[..], b"=1", b"noise", b"a\r\nb=1", b"a=b\rc"] {
            jar.take(bad);
        }
        assert_eq!(jar.line(), b"", "{jar:?}");
        (0..100).for_each(|n| jar.take(format!("c{n}=1").as_bytes()));
        assert_eq!(jar.line().split(|byte| *byte == b';').count(), Jar::MOST);
    }
}
