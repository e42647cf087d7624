//! One request, compiled: its bytes when they never change, its templates when they do.

use std::time::Duration;

use crate::check::Inspection;
use crate::cookies::Jar;
use crate::template::{Place, Template, Values};

/// A compiled step.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: Template,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) body: Option<Template>,
    pub(crate) inspection: Inspection,
    pub(crate) pause: Duration,
    /// HTTP/1.1 bytes that are the same each time, and where a cookie would go in.
    fixed: Option<(Vec<u8>, usize)>,
}

impl Ask {
    pub(crate) fn new(
        name: String,
        method: String,
        path: Template,
        headers: Vec<(String, Template)>,
        body: Option<Template>,
        inspection: Inspection,
        pause: Duration,
    ) -> Self {
        let mut ask = Self { name, method, path, headers, body, inspection, pause, fixed: None };
        let texts = || ask.headers.iter().map(|(_, value)| value).chain([&ask.path]).chain(&ask.body);
        if texts().all(Template::is_fixed) {
            let mut bytes = Vec::new();
            let at = ask.render(&Values::default(), &[], &mut bytes);
            ask.fixed = Some((bytes, at));
        }
        ask
    }

    /// The bytes of an HTTP/1.1 request, either those that never change or written into `out`.
    pub(crate) fn http1<'a>(&'a self, values: &Values<'_>, jar: &Jar, out: &'a mut Vec<u8>) -> &'a [u8] {
        let cookies = jar.line();
        match &self.fixed {
            Some((bytes, _)) if cookies.is_empty() => bytes,
            Some((bytes, at)) => {
                out.clear();
                out.extend_from_slice(&bytes[..*at]);
                cookie(&cookies, out);
                out.extend_from_slice(&bytes[*at..]);
                out
            }
            None => {
                out.clear();
                self.render(values, &cookies, out);
                out
            }
        }
    }

    /// The body, for protocols without a head.
    pub(crate) fn payload<'a>(&'a self, values: &Values<'_>, out: &'a mut Vec<u8>) -> &'a [u8] {
        out.clear();
        if let Some(body) = &self.body {
            body.write(values, Place::Body, out);
        }
        out
    }

    /// Writes a request and says where its headers end.
    fn render(&self, values: &Values<'_>, cookies: &[u8], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        self.path.write(values, Place::Path, out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            value.write(values, Place::Header, out);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            let length = body.body_length(values);
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        let at = out.len();
        if !cookies.is_empty() {
            cookie(cookies, out);
        }
        out.extend_from_slice(b"\r\n");
        if let Some(body) = &self.body {
            body.write(values, Place::Body, out);
        }
        at
    }
}

fn cookie(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}
