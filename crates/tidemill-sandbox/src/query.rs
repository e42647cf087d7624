//! The parameters of a request target.

use std::borrow::Cow;

/// The part of a target behind `?`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl<'a> Query<'a> {
    /// The first parameter of that name, decoded; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        Some(decode(value)).filter(|value| !value.is_empty())
    }
}

/// Undoes `%41` and `+`; what is no such code stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.first_chunk::<2>().filter(|_| byte == b'%');
        let code = code.and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?));
        rest = if code.is_some() { &after[2..] } else { after };
        bytes.push(code.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        let query = Query("symbol=BRK%2EB&apikey=&x=a+b%zz&symbol=second&lone");
        assert_eq!(query.get("symbol").as_deref(), Some("BRK.B"));
        assert_eq!(query.get("apikey"), None);
        assert_eq!(query.get("x").as_deref(), Some("a b%zz"));
        assert_eq!(query.get("lone"), None);
        assert_eq!(Query("").get("symbol"), None);
        assert_eq!(Query("a=%").get("a").as_deref(), Some("%"));
    }
}
