//! Replaces registered secrets by `***` in everything that is written, also when one arrives in pieces.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use super::screen::Screen;

/// What stands where a secret stood.
const MASK: &[u8] = b"***";
/// Secrets kept at most, their written forms counted each.
const MAX_SECRETS: usize = 10_000;

/// Knows the secrets. Clones share them.
///
/// ```
/// let redactor = tidemill_shell::logs::Redactor::default();
/// redactor.register("S3CRET");
/// assert_eq!(redactor.redact("GET /?apikey=S3CRET"), "GET /?apikey=***");
/// ```
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
    /// Where logs go: beside the secrets, so that a progress bar that is given the one finds the other.
    screen: Screen,
}

#[derive(Default)]
struct Known {
    /// Longest first, so that a secret that begins with another one is masked whole.
    secrets: Vec<Vec<u8>>,
    longest: usize,
}

impl Redactor {
    /// Masks this text from now on, and its forms in JSON and in a URI. Empty text is no secret.
    ///
    /// At most 10 000 forms are kept, far beyond any set of keys; further ones are refused with `false`.
    pub fn register(&self, secret: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for form in [secret.to_owned(), in_json(secret), in_uri(secret, true), in_uri(secret, false)] {
            let form = form.into_bytes();
            if form.is_empty() || known.secrets.contains(&form) {
                continue;
            }
            if known.secrets.len() >= MAX_SECRETS {
                return false;
            }
            known.longest = known.longest.max(form.len());
            let at = known.secrets.partition_point(|other| other.len() >= form.len());
            known.secrets.insert(at, form);
        }
        true
    }

    /// The text with all secrets masked; borrowed when there are none.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        let held = known.mask(text.as_bytes(), &mut out, true);
        debug_assert_eq!(held, text.len());
        if out == text.as_bytes() {
            return Cow::Borrowed(text);
        }
        match String::from_utf8(out) {
            Ok(masked) => Cow::Owned(masked),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        }
    }

    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// A writer that masks. What may be the beginning of a secret is held back until it is clear, or until the drop.
    pub fn writer<W: Write>(&self, inner: W) -> Redacted<W> {
        Redacted { redactor: self.clone(), inner, held: Vec::new() }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Redactor").field("forms", &known.secrets.len()).finish()
    }
}

impl Known {
    /// Copies `bytes` to `out` with the secrets masked; returns how many bytes are settled. The rest may be the beginning
    /// of a secret; with `last` nothing is left over.
    fn mask(&self, bytes: &[u8], out: &mut Vec<u8>, last: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            // A longer secret that is still incomplete goes before a shorter one that is complete.
            let unclear =
                !last && rest.len() < self.longest && self.secrets.iter().any(|secret| begins(secret, rest));
            if unclear {
                break;
            }
            match self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    out.extend_from_slice(MASK);
                    at += secret.len();
                }
                None => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        at
    }
}

/// Whether `rest` is a true beginning of `secret`.
fn begins(secret: &[u8], rest: &[u8]) -> bool {
    secret.len() > rest.len() && secret.starts_with(rest)
}

/// See [`Redactor::writer`].
pub struct Redacted<W: Write> {
    redactor: Redactor,
    inner: W,
    held: Vec<u8>,
}

impl<W: Write> Redacted<W> {
    fn pass_on(&mut self, last: bool) -> io::Result<()> {
        let mut out = Vec::with_capacity(self.held.len());
        let settled = {
            let known = self.redactor.known.read().unwrap_or_else(PoisonError::into_inner);
            known.mask(&self.held, &mut out, last)
        };
        self.held.drain(..settled);
        self.inner.write_all(&out)
    }
}

impl<W: Write> Write for Redacted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        self.pass_on(false)?;
        Ok(bytes.len())
    }

    /// Flushes what is settled. The possible beginning of a secret stays held back.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for Redacted<W> {
    fn drop(&mut self) {
        // A log that cannot be written cannot be reported either.
        self.pass_on(true).and_then(|()| self.inner.flush()).ok();
    }
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Percent-encoded, with upper or lower hexadecimal digits.
fn in_uri(text: &str, upper: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else if upper {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let redactor = Redactor::default();
        for secret in secrets {
            redactor.register(secret);
        }
        let mut sink = Vec::new();
        {
            let mut writer = redactor.writer(&mut sink);
            for piece in pieces {
                writer.write_all(piece).unwrap();
                writer.flush().unwrap();
            }
        }
        String::from_utf8(sink).unwrap()
    }

    #[test]
    fn a_secret_in_pieces_is_masked() {
        let bytes: Vec<&[u8]> = b"a S3CRET b S3CRE".chunks(1).collect();
        assert_eq!(through(&["S3CRET"], &bytes), "a *** b S3CRE");
        assert_eq!(through(&["S3CRET"], &[b"S3", b"CRETS3CR", b"ET"]), "******");
    }

    #[test]
    fn the_longer_of_two_secrets_is_masked_whole() {
        for pieces in [&[&b"key-1-prod."[..]][..], &[b"key-1", b"-prod."], &[b"key-", b"1-pro", b"d."]] {
            assert_eq!(through(&["key-1", "key-1-prod"], pieces), "***.");
        }
        assert_eq!(through(&["key-1", "key-1-prod"], &[b"key-1", b"-pr."]), "***-pr.");
    }

    #[test]
    fn written_forms_are_masked_too() {
        let redactor = Redactor::default();
        redactor.register("a\"b/c");
        assert_eq!(redactor.redact(r#"a"b/c a\"b/c a%22b%2Fc a%22b%2fc"#), "*** *** *** ***");
        assert!(matches!(redactor.redact("nothing"), Cow::Borrowed(_)));
        assert!(redactor.register("") && redactor.redact("").is_empty());
    }

    #[test]
    fn a_leading_quote_keeps_its_json_form() {
        let redactor = Redactor::default();
        redactor.register("\"q");
        assert_eq!(redactor.redact(r#"{"k":"\"q"}"#), r#"{"k":"***"}"#);
    }

    proptest! {
        #[test]
        fn pieces_never_matter(text in "[ab-]{0,40}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let secrets = ["ab", "aba-", "bb-a"];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let whole = through(&secrets, &[text.as_bytes()]);
            prop_assert_eq!(through(&secrets, &pieces), whole.clone());
            for secret in secrets {
                prop_assert!(!whole.contains(secret), "{} in {}", secret, whole);
            }
        }
    }
}
