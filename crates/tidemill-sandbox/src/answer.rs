//! What one request is answered: dialect, verdict and fault made into status, headers and body.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::alpha_vantage;
use crate::body::Body;
use crate::books::Counted;
use crate::config::{Config, InvalidKeyStyle, RefusalStyle, duration_text};
use crate::faults::FaultKind;
use crate::query::Query;
use crate::symbols::Symbols;
use crate::twelve_data;

/// Smaller bodies are not worth compressing.
const MIN_COMPRESSED: usize = 256;
/// What a broken proxy leaves in the place of the second half.
const WEB_PAGE: &[u8] = b"\n<html><head><title>502 Bad Gateway</title></head><body></body></html>\n";

/// A request for data, understood.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The symbols as asked for, each with its position if it exists.
    pub(crate) symbols: Vec<(String, Option<usize>)>,
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug)]
enum Dialect {
    AlphaVantage(alpha_vantage::Form),
    TwelveData { bars: usize },
}

/// An answer before it is put on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Ask {
    /// What `path` and `query` ask for; `Err` has the answer to a question that cannot be understood.
    pub(crate) fn parse(path: &str, query: &Query<'_>, symbols: &Symbols) -> Result<Self, Answer> {
        let wanted = query.get("symbol").ok_or("**symbol** is missing. Invalid API call.");
        let asked = match path {
            "/query" => {
                alpha_vantage::Form::parse(query).and_then(|form| Ok((Dialect::AlphaVantage(form), wanted?)))
            }
            _ => twelve_data::bars(query).and_then(|bars| Ok((Dialect::TwelveData { bars }, wanted?))),
        };
        let (dialect, wanted) = asked.map_err(|problem| problem_in(path, problem))?;
        let names: Vec<&str> = match dialect {
            Dialect::AlphaVantage(_) => vec![&wanted],
            Dialect::TwelveData { .. } => wanted.split(',').map(str::trim).collect(),
        };
        if names.len() > twelve_data::MAX_BATCH {
            return Err(problem_in(path, "**symbol** holds at most 120 symbols"));
        }
        if let Dialect::TwelveData { bars } = dialect
            && bars * names.len() > twelve_data::MAX_BATCH_BARS
        {
            return Err(problem_in(path, "**outputsize** times the number of symbols is above 20000"));
        }
        let symbols = names.into_iter().map(|name| (name.to_owned(), symbols.position(name))).collect();
        Ok(Self { symbols, dialect })
    }

    /// The positions alone, as the books want them.
    pub(crate) fn positions(&self) -> Vec<Option<usize>> {
        self.symbols.iter().map(|(_, position)| *position).collect()
    }

    /// The answer to what the books said, before any fault of the body.
    pub(crate) fn answer(
        &self,
        counted: Counted,
        fault: Option<FaultKind>,
        config: &Config,
        symbols: &Symbols,
    ) -> Answer {
        match (counted, fault) {
            (Counted::InvalidKey, _) => self.invalid_key(config.invalid_key),
            (Counted::Refused { retry_after }, _) => self.refusal(config, retry_after),
            (Counted::Admitted, Some(FaultKind::Refusal)) => self.refusal(config, Duration::from_secs(1)),
            (Counted::Admitted, Some(FaultKind::InternalError)) => {
                Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox was told to fail here\n")
            }
            (Counted::Admitted, Some(FaultKind::Unavailable)) => Answer {
                retry_after: Some(Duration::from_secs(1)),
                ..Answer::text(StatusCode::SERVICE_UNAVAILABLE, "the sandbox was told to be away here\n")
            },
            (Counted::Admitted, Some(FaultKind::Malformed)) => {
                let mut answer = self.data(symbols);
                answer.body.truncate(answer.body.len() / 2);
                answer.body.extend_from_slice(WEB_PAGE);
                answer
            }
            (Counted::Admitted, _) => self.data(symbols),
        }
    }

    fn data(&self, symbols: &Symbols) -> Answer {
        let series = |position: Option<usize>| position.and_then(|position| symbols.series(position));
        match self.dialect {
            Dialect::AlphaVantage(form) => {
                let (name, position) = &self.symbols[0];
                let Some(series) = series(*position) else {
                    let text = "Invalid API call: there is no such symbol for TIME_SERIES_DAILY.";
                    return Answer::json(alpha_vantage::note("Error Message", text));
                };
                let content_type = if form.csv { "text/csv" } else { "application/json" };
                Answer { content_type, ..Answer::json(alpha_vantage::render(name, series, form)) }
            }
            Dialect::TwelveData { bars } => {
                let mut body = Vec::new();
                let batch = self.symbols.len() > 1;
                let mut before = b'{';
                for (name, position) in &self.symbols {
                    if batch {
                        body.push(before);
                        body.extend(serde_json::to_vec(name).unwrap_or_default());
                        body.push(b':');
                        before = b',';
                    }
                    match series(*position) {
                        Some(series) => twelve_data::render(&mut body, name, series, bars),
                        None => {
                            let code = if batch { 400 } else { 404 };
                            body.extend(twelve_data::error(code, "**symbol** not found"));
                        }
                    }
                }
                if batch {
                    body.push(b'}');
                }
                Answer::json(body)
            }
        }
    }

    fn refusal(&self, config: &Config, retry_after: Duration) -> Answer {
        let limits: Vec<_> = config
            .quota
            .iter()
            .map(|quota| format!("{} requests per {}", quota.requests, duration_text::format(quota.per)))
            .collect();
        let limits = limits.join(" and ");
        let body = match self.dialect {
            Dialect::AlphaVantage(_) => alpha_vantage::note(
                "Information",
                &format!("This key has reached its rate limit of {limits}. Please spread out your requests."),
            ),
            Dialect::TwelveData { .. } => twelve_data::error(
                429,
                &format!("You have run out of API credits for now, with the limit being {limits}."),
            ),
        };
        match config.refusal {
            RefusalStyle::Information => Answer::json(body),
            RefusalStyle::TooManyRequests => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Answer { status, retry_after: Some(retry_after), ..Answer::json(body) }
            }
        }
    }

    fn invalid_key(&self, style: InvalidKeyStyle) -> Answer {
        let body = match self.dialect {
            Dialect::AlphaVantage(_) => {
                alpha_vantage::note("Error Message", "The parameter apikey is invalid or missing.")
            }
            Dialect::TwelveData { .. } => {
                twelve_data::error(401, "**apikey** parameter is incorrect or missing")
            }
        };
        let status = match style {
            InvalidKeyStyle::ErrorMessage => StatusCode::OK,
            InvalidKeyStyle::Unauthorized => StatusCode::UNAUTHORIZED,
        };
        Answer { status, ..Answer::json(body) }
    }
}

fn problem_in(path: &str, problem: &str) -> Answer {
    match path {
        "/query" => Answer::json(alpha_vantage::note("Error Message", problem)),
        _ => Answer::json(twelve_data::error(400, problem)),
    }
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", retry_after: None, body }
    }

    pub(crate) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: "text/plain", retry_after: None, body: text.as_bytes().to_vec() }
    }

    /// The response: compressed if the client takes it, cut short if the fault says so.
    pub(crate) fn into_response(
        self,
        coding: Option<Coding>,
        fault: Option<FaultKind>,
        stall: Duration,
    ) -> Response<Body> {
        let coding = coding.filter(|_| self.body.len() >= MIN_COMPRESSED);
        let body = Bytes::from(match coding {
            Some(coding) => coding.encode(&self.body),
            None => self.body,
        });
        let length = body.len();
        let body = match fault {
            Some(FaultKind::Truncated) => Body::truncated(body),
            Some(FaultKind::Stalled) => Body::stalled(body, stall),
            _ => Body::whole(body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, never too early; what can never pass says a day.
            let seconds = wait.min(Duration::from_secs(86_400)).as_nanos().div_ceil(1_000_000_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        response
    }
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// The zlib format, as the HTTP standard means by `deflate`.
    Deflate,
}

impl Coding {
    /// The one a client takes, gzip first.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let lists =
            headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
        let taken = |(name, weight): (&str, &str)| {
            let zero = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
            (!zero).then(|| name.trim().to_ascii_lowercase())
        };
        let split = |item: &'_ str| taken(item.split_once(';').unwrap_or((item, "")));
        let names: Vec<_> = lists.flat_map(|list| list.split(',')).filter_map(split).collect();
        let has = |name: &str| names.iter().any(|taken| taken == name);
        if has("gzip") { Some(Self::Gzip) } else { has("deflate").then_some(Self::Deflate) }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn encode(self, plain: &[u8]) -> Vec<u8> {
        let out = Vec::with_capacity(plain.len() / 4);
        let coded = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(plain).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(plain).and_then(|()| encoder.finish())
            }
        };
        coded.unwrap_or_default() // writing to a Vec does not fail
    }
}
