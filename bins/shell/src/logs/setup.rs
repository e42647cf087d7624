//! Sets up tracing: level, format, colour, and the redactor under everything.

use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::redactor::{Redacted, Redactor};
use super::screen::Screen;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

impl std::str::FromStr for Format {
    type Err = LogsError;

    fn from_str(text: &str) -> Result<Self, LogsError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => {
                Err(LogsError::new(format!("the log format \"{other}\" is not known; write text or json")))
            }
        }
    }
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Logs {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or directives such as `info,hyper=warn`. Default `info`.
    pub level: String,
    /// Default `text`.
    pub format: Format,
    /// Colour; by default when stderr is a terminal and `NO_COLOR` is not set (see [`Logs::no_color`]).
    pub color: Option<bool>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text, color: None }
    }
}

impl Logs {
    /// Heeds the environment's `NO_COLOR`, which `main` reads: set and not empty means no colour.
    #[must_use]
    pub fn no_color(mut self, value: Option<&str>) -> Self {
        if value.is_some_and(|value| !value.is_empty()) {
            self.color = Some(false);
        }
        self
    }
}

/// A level or format that is none, or a second set-up.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct LogsError {
    problem: String,
}

impl LogsError {
    fn new(problem: String) -> Self {
        Self { problem }
    }
}

/// Sends the events of the whole process to stderr. Call once, in `main`; register secrets before they are used.
///
/// # Errors
/// When the level cannot be read, or logs were set up before.
pub fn init(logs: &Logs) -> Result<Redactor, LogsError> {
    let redactor = Redactor::default();
    let colour = logs.color.unwrap_or_else(|| io::stderr().is_terminal());
    let subscriber = subscriber(logs, colour, Stderr { redactor: redactor.clone() })?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| LogsError::new("logs are set up already".to_owned()))?;
    Ok(redactor)
}

fn subscriber<W>(
    logs: &Logs,
    colour: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogsError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&logs.level).map_err(|error| {
        let example = "write error, warn, info, debug, trace, off or for example info,hyper=warn";
        LogsError::new(format!("the log level \"{}\" cannot be read: {error}; {example}", logs.level))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    Ok(match logs.format {
        Format::Text => Box::new(builder.with_target(false).finish()),
        Format::Json => Box::new(builder.json().with_ansi(false).flatten_event(true).finish()),
    })
}

struct Stderr {
    redactor: Redactor,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Redacted<Screen>;

    fn make_writer(&'a self) -> Self::Writer {
        self.redactor.writer(self.redactor.screen().clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(logs: &Logs, colour: bool, log: impl FnOnce()) -> String {
        let (memory, redactor) = (Memory::default(), Redactor::default());
        redactor.register("S3CRET\"KEY");
        let writer = {
            let memory = memory.clone();
            move || redactor.writer(memory.clone())
        };
        let subscriber = subscriber(logs, colour, writer).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let written = memory.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn no_secret_passes_in_any_format() {
        for format in [Format::Text, Format::Json] {
            for colour in [false, true] {
                let logs = Logs { format, ..Logs::default() };
                let written = logged(&logs, colour, || {
                    tracing::info!(key = "S3CRET\"KEY", url = %"http://h/?k=S3CRET%22KEY", "with S3CRET\"KEY");
                    tracing::debug!("not at this level");
                });
                assert!(!written.contains("S3CRET"), "{written}");
                assert!(written.matches("***").count() == 3 && !written.contains("not at this"), "{written}");
            }
        }
    }

    #[test]
    fn json_is_one_object_a_line_and_text_has_colour_only_when_asked() {
        let json =
            logged(&Logs { format: Format::Json, ..Logs::default() }, true, || tracing::warn!(n = 3, "slow"));
        let object: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(
            (&object["message"], &object["n"], &object["level"]),
            (&"slow".into(), &3.into(), &"WARN".into())
        );
        let text = || logged(&Logs::default(), false, || tracing::info!("plain"));
        assert!(!text().contains('\u{1b}'));
        assert!(logged(&Logs::default(), true, || tracing::info!("plain")).contains('\u{1b}'));
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_a_remedy() {
        let logs = Logs { level: "lo=ud=".to_owned(), ..Logs::default() };
        let error = init(&logs).unwrap_err().to_string();
        assert!(error.contains("lo=ud=") && error.contains("write error, warn"), "{error}");
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("text or json"));
    }

    #[test]
    fn no_color_is_heeded_when_not_empty() {
        assert_eq!(Logs::default().no_color(Some("1")).color, Some(false));
        assert_eq!(Logs::default().no_color(Some("")).color, None);
        assert_eq!(Logs::default().no_color(None).color, None);
    }
}
