//! What a plan asks, compiled once: scenarios with their requests, the variables between them, the sizes over time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ask::Ask;
use crate::check::Inspection;
use crate::data::Rows;
use crate::error::Error;
use crate::plan::Plan;
use crate::random::mix;
use crate::scenario::{Scenario, Step, Volume};
use crate::target::{Endpoint, Scheme};
use crate::template::{LARGEST_PAYLOAD, Template, Values, Variable};

/// A plan's scenarios, shared by all threads.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) scenarios: Vec<Compiled>,
    /// The sum of the weights.
    weights: u64,
    rows: Option<Rows>,
    volume: Option<Volume>,
    /// How many values one user extracts.
    pub(crate) extracted: usize,
    seed: u64,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    weight: u64,
    pub(crate) steps: Vec<Ask>,
    /// The index of the first step among those of all scenarios.
    pub(crate) first: usize,
}

/// The most scenarios, and the most steps of all of them.
const SCENARIOS: usize = 64;
const STEPS: usize = 256;

impl Script {
    pub(crate) fn new(plan: &Plan, endpoint: &Endpoint) -> Result<Self, Error> {
        let rows = plan.data.as_ref().map(|data| Rows::load(data, plan.limits.data)).transpose()?;
        let default = [Scenario { name: String::new(), weight: 1, steps: vec![Step::default()] }];
        let scenarios = if plan.scenarios.is_empty() { &default[..] } else { &plan.scenarios };
        let all = scenarios.iter().map(|scenario| scenario.steps.len()).sum::<usize>();
        if scenarios.len() > SCENARIOS
            || all > STEPS
            || scenarios.iter().any(|scenario| scenario.steps.is_empty())
        {
            return Err(Error::plan("scenario", "at most 64 scenarios with 1 to 256 steps together"));
        }
        let mut slots = BTreeMap::new();
        for name in scenarios.iter().flat_map(|scenario| &scenario.steps).flat_map(|step| step.extract.keys())
        {
            let next = slots.len();
            slots.entry(name.as_str()).or_insert(next);
        }
        if let Some(volume) = &plan.volume {
            check_volume(volume)?;
        }
        let names = Names { rows: rows.as_ref(), slots: &slots, has_volume: plan.volume.is_some() };
        let keeps_users = all > 1 || plan.model() == crate::plan::Model::Closed;
        let mut compiled = Vec::new();
        let mut first = 0;
        for (n, scenario) in scenarios.iter().enumerate() {
            let mut steps = Vec::new();
            for (m, step) in scenario.steps.iter().enumerate() {
                let field = format!("scenario[{n}].step[{m}]");
                let mut ask = compile(step, plan, endpoint, &names)
                    .map_err(|(part, reason)| Error::plan(format!("{field}.{part}"), reason))?;
                ask.inspection.wanted.cookies = keeps_users;
                steps.push(ask);
            }
            let count = steps.len();
            compiled.push(Compiled {
                name: scenario.name.clone(),
                weight: scenario.weight.into(),
                steps,
                first,
            });
            first += count;
        }
        let weights = compiled.iter().map(|scenario| scenario.weight).sum();
        if weights == 0 {
            return Err(Error::plan("scenario.weight", "all weights are 0"));
        }
        let extracted = slots.len();
        Ok(Self {
            scenarios: compiled,
            weights,
            rows,
            volume: plan.volume.clone(),
            extracted,
            seed: plan.load.seed,
        })
    }

    /// The scenario of an arrival.
    pub(crate) fn scenario(&self, arrival: u64) -> &Compiled {
        if self.scenarios.len() > 1 {
            let mut at = mix(self.seed.wrapping_add(mix(arrival))) % self.weights;
            for scenario in &self.scenarios {
                match at.checked_sub(scenario.weight) {
                    Some(rest) => at = rest,
                    None => return scenario,
                }
            }
        }
        &self.scenarios[0]
    }

    /// The variables of an arrival.
    pub(crate) fn values<'a>(&'a self, arrival: u64, now: Duration, extracted: &'a [String]) -> Values<'a> {
        Values {
            row: self.rows.as_ref().map_or(&[], |rows| rows.row(arrival, self.seed)),
            extracted,
            arrival,
            volume: self.volume.as_ref().map_or(0, |volume| volume.size(now)),
        }
    }

    /// How many steps all scenarios have.
    pub(crate) fn steps(&self) -> usize {
        self.scenarios.iter().map(|scenario| scenario.steps.len()).sum()
    }
}

impl Volume {
    /// The level of a time, the last one after the end.
    pub(crate) fn level(&self, now: Duration) -> u32 {
        let level = now.as_nanos() / self.each.as_nanos().max(1);
        u32::try_from(level).unwrap_or(u32::MAX).min(self.levels.saturating_sub(1))
    }

    /// The size of a time.
    pub(crate) fn size(&self, now: Duration) -> u64 {
        self.size_of(self.level(now))
    }

    /// The size of a level.
    pub(crate) fn size_of(&self, level: u32) -> u64 {
        (self.start as f64 * self.factor.powi(level.min(64) as i32)).round() as u64
    }
}

fn check_volume(volume: &Volume) -> Result<(), Error> {
    let last = volume.start as f64 * volume.factor.powi(volume.levels.min(64) as i32 - 1);
    let sound = volume.factor.is_finite() && volume.factor > 0.0;
    if !(1..=64).contains(&volume.levels) || !sound {
        return Err(Error::plan("volume.levels", "must be 1 to 64, with a `factor` above 0"));
    }
    if volume.each.is_zero() || volume.each.subsec_nanos() != 0 {
        return Err(Error::plan("volume.each", "must be whole seconds"));
    }
    if last > LARGEST_PAYLOAD as f64 {
        return Err(Error::plan("volume.factor", "the last size would be above 256 MiB"));
    }
    Ok(())
}

/// What a variable's name may mean.
struct Names<'a> {
    rows: Option<&'a Rows>,
    slots: &'a BTreeMap<&'a str, usize>,
    has_volume: bool,
}

impl Names<'_> {
    fn variable(&self, name: &str) -> Option<Variable> {
        match name {
            "arrival" => Some(Variable::Arrival),
            "volume" if self.has_volume => Some(Variable::Volume),
            "payload" if self.has_volume => Some(Variable::Payload),
            _ => {
                let column =
                    || self.rows?.columns.iter().position(|column| column == name).map(Variable::Column);
                self.slots.get(name).map(|slot| Variable::Extracted(*slot)).or_else(column)
            }
        }
    }
}

fn compile(
    step: &Step,
    plan: &Plan,
    endpoint: &Endpoint,
    names: &Names<'_>,
) -> Result<Ask, (&'static str, String)> {
    let template = |text: &str| Template::read(text, |name| names.variable(name));
    let path = if step.path.is_empty() { endpoint.path.as_str() } else { step.path.as_str() };
    // Spaces may stand inside the braces of variables only.
    let spaced = !path.contains("{{") && path.contains(' ');
    if !path.starts_with('/') || spaced || path.bytes().any(|byte| !(b' '..0x7f).contains(&byte)) {
        return Err(("path", format!("`{path}` must begin with / and have no spaces")));
    }
    let method = match (step.method.as_str(), &step.body) {
        ("", None) => "GET",
        ("", Some(_)) => "POST",
        (method, _) => method,
    };
    if !is_token(method) {
        return Err(("method", format!("`{method}` is no method")));
    }
    let keep = if plan.load.keep_alive { "keep-alive" } else { "close" };
    let mut headers: Vec<(String, String)> =
        vec![("host".to_owned(), endpoint.authority.clone()), ("connection".to_owned(), keep.to_owned())];
    for (name, value) in &step.headers {
        let name = name.to_ascii_lowercase();
        let framing =
            matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection" | "upgrade");
        if !is_token(&name) || framing || value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(("headers", format!("`{name}` is no header that a plan can set")));
        }
        headers.retain(|(kept, _)| *kept != name);
        headers.push((name, value.clone()));
    }
    let mut templates = Vec::new();
    for (name, value) in headers {
        templates.push((name, template(&value).map_err(|reason| ("headers", reason))?));
    }
    let has_status = endpoint.scheme == Scheme::Http;
    let slot = |name: &str| names.slots.get(name).copied().unwrap_or(0);
    let inspection =
        Inspection::new(step, &plan.limits, has_status, slot).map_err(|reason| ("extract", reason))?;
    let name = if step.name.is_empty() { format!("{method} {path}") } else { step.name.clone() };
    let body = step.body.as_deref().map(template).transpose().map_err(|reason| ("body", reason))?;
    let path = template(path).map_err(|reason| ("path", reason))?;
    Ok(Ask::new(name, method.to_owned(), path, templates, body, inspection, step.pause))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
