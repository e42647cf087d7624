//! The formats a scrape may ask for, and which of them it gets.

use crate::registry::Registry;
use crate::{protobuf, text};

/// The content type of what [`Registry::render`] writes: Prometheus text.
pub const CONTENT_TYPE: &str = Format::Text.content_type();

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
    /// Delimited messages `io.prometheus.client.MetricFamily`, with native and classic histograms.
    Protobuf,
}

impl Format {
    const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The media type with its parameters.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format that an `Accept` header prefers: the highest `q`, among equals the one named first. Text, when it
    /// names none of ours.
    #[must_use]
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let Some(format) = Self::ALL.into_iter().find(|format| format.is(media)) else { continue };
            let mut q = 1.0;
            let mut speaks = true;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => q = value.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
                    name => speaks &= format.takes(name, value),
                }
            }
            if speaks && q > best.1 {
                best = (format, q);
            }
        }
        best.0
    }

    fn is(self, media: &str) -> bool {
        self.content_type().split(';').next().is_some_and(|ours| ours.eq_ignore_ascii_case(media))
    }

    /// Whether a parameter of the media type is one we write; unknown ones do no harm.
    fn takes(self, name: &str, value: &str) -> bool {
        match (self, name) {
            (Self::Text, "version") => value == "0.0.4",
            (Self::OpenMetrics, "version") => value == "1.0.0",
            (Self::Protobuf, "proto") => value == "io.prometheus.client.MetricFamily",
            (Self::Protobuf, "encoding") => value == "delimited",
            _ => true,
        }
    }
}

impl Registry {
    /// Appends all metrics as Prometheus text. Names and labels are rendered once, when a series is made.
    pub fn render(&self, out: &mut String) {
        text::write(&self.gather(), text::Dialect::Prometheus, out);
    }

    /// All metrics as Prometheus text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.render(&mut text);
        text
    }

    /// All metrics in a format.
    #[must_use]
    pub fn encode(&self, format: Format) -> Vec<u8> {
        let mut text = String::new();
        match format {
            Format::Text => self.render(&mut text),
            Format::OpenMetrics => text::write(&self.gather(), text::Dialect::OpenMetrics, &mut text),
            Format::Protobuf => return protobuf::write(&self.gather()),
        }
        text.into_bytes()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_gets_what_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5";
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Format::Text),
            (prometheus, Format::OpenMetrics),
            (native, Format::Protobuf),
            ("application/openmetrics-text; version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Text),
            ("text/plain;q=0.2, Application/OpenMetrics-Text; version=\"1.0.0\"; q=0.3", Format::OpenMetrics),
            ("application/vnd.google.protobuf;encoding=text", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
        for format in Format::ALL {
            assert_eq!(Format::negotiate(format.content_type()), format);
        }
    }
}
