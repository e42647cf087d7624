//! From arguments to a plan: presets stretched to the user's figures, promises, and what is allowed.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tidemill_load::{
    Check, HttpVersion, Model, Plan, Preset, Scenario, Shape, Stage, Step, StopRules, Thresholds,
};

use crate::args::{Load, Promises, Request, Safety};

/// A preset with the user's figures.
///
/// # Errors
/// Arguments that make no sense, by name.
pub fn preset(preset: Preset, args: &Load) -> Result<Plan> {
    let mut plan = preset.plan(&args.url);
    let level = args.rate.or(args.users);
    if let Some(rate) = args.rate {
        plan.load.model = Model::Open;
        plan.load.think = Duration::ZERO;
        plan.load.spawn_rate = 0.0;
        plan.load.connections = connections_for(rate);
    }
    let level = level.map_or(1.0, |level| level / base(preset));
    let time = args.time.map_or(1.0, |time| time.as_secs_f64() / plan.duration().as_secs_f64());
    positive("--users or --rate", level)?;
    positive("--time", time)?;
    stretch(&mut plan, level, time);
    request(&mut plan, &args.request)?;
    promises(&mut plan, &args.promises)?;
    allowed(&mut plan, &args.safety)?;
    Ok(plan)
}

/// The level of a preset that `--users` and `--rate` speak of.
fn base(preset: Preset) -> f64 {
    match preset {
        Preset::Load | Preset::Spike | Preset::Volume => 10.0,
        Preset::Stress | Preset::Endurance => 100.0,
        Preset::Users => 1000.0,
    }
}

/// Connections that a rate needs while a server stalls for a quarter of a second: fewer would turn waiting in the server
/// into waiting here. The response time is right either way, its two parts are clearer so.
fn connections_for(rate: f64) -> usize {
    ((rate / 4.0).ceil() as usize).clamp(32, 1024)
}

/// Every level times `level`, every time times `time`.
pub fn stretch(plan: &mut Plan, level: f64, time: f64) {
    plan.load.shape = stretched(&plan.load.shape, level, time);
    plan.load.spawn_rate *= level / time;
    if let Some(volume) = &mut plan.volume {
        volume.each = volume.each.mul_f64(time);
    }
}

fn stretched(shape: &Shape, level: f64, time: f64) -> Shape {
    let longer = |duration: Duration| duration.mul_f64(time);
    match shape.clone() {
        Shape::Constant { level: at, duration } => {
            Shape::Constant { level: at * level, duration: longer(duration) }
        }
        Shape::Ramp { from, to, over, steps, hold } => {
            // A longer run holds longer; it does not rise more slowly.
            let rise = if hold.is_zero() { longer(over) } else { over.mul_f64(time.min(1.0)) };
            let hold = (longer(over) + longer(hold)).saturating_sub(rise);
            Shape::Ramp { from: from * level, to: to * level, over: rise, steps, hold }
        }
        Shape::Stairs { start, step, each, until } => Shape::Stairs {
            start: start * level,
            step: step * level,
            each: longer(each),
            until: until * level,
        },
        Shape::Spike { level: at, factor, before, during, after } => Shape::Spike {
            level: at * level,
            factor,
            before: longer(before),
            during: longer(during),
            after: longer(after),
        },
        Shape::Sine { mean, amplitude, period, duration } => Shape::Sine {
            mean: mean * level,
            amplitude: amplitude * level,
            period: longer(period),
            duration: longer(duration),
        },
        Shape::Stages { stages } => {
            let stage = |stage: &Stage| Stage {
                from: stage.from.map(|from| from * level),
                to: stage.to * level,
                over: longer(stage.over),
            };
            Shape::Stages { stages: stages.iter().map(stage).collect() }
        }
        Shape::Replay { path, speed, duration } => {
            Shape::Replay { path, speed: speed * level, duration: longer(duration) }
        }
    }
}

/// What and how to ask.
///
/// # Errors
/// A header without a colon, or `--server` that is none of its choices.
pub fn request(plan: &mut Plan, args: &Request) -> Result<()> {
    let load = &mut plan.load;
    load.connections = args.connections.unwrap_or(load.connections);
    load.threads = args.threads.unwrap_or(load.threads);
    load.timeout = args.timeout.unwrap_or(load.timeout);
    load.warm_up = args.warm_up.unwrap_or(load.warm_up);
    load.think = args.think.unwrap_or(load.think);
    load.seed = args.seed.unwrap_or(load.seed);
    if args.http2 {
        plan.target.version = HttpVersion::Http2;
    }
    if args.method.is_some() || args.body.is_some() || !args.header.is_empty() || args.expect.is_some() {
        let mut step = Step {
            method: args.method.clone().unwrap_or_default(),
            body: args.body.clone(),
            check: Check { body: args.expect.clone(), ..Check::default() },
            ..Step::default()
        };
        for header in &args.header {
            let Some((name, value)) = header.split_once(':') else {
                bail!("--header \"{header}\" has no colon; write it as \"Name: value\"");
            };
            step.headers.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        plan.scenarios = vec![Scenario { name: String::new(), weight: 1, steps: vec![step] }];
    }
    sampled(plan, args.server.as_deref())
}

fn sampled(plan: &mut Plan, wanted: Option<&str>) -> Result<()> {
    match wanted {
        Some("off") => {}
        Some("auto") => plan.server.auto = true,
        None => plan.server.auto = is_loopback(&plan.target.url),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            plan.server.metrics = Some(url.to_owned());
        }
        Some(pid) => {
            plan.server.pid = Some(pid.parse().map_err(|_| {
                anyhow!("--server \"{pid}\" is neither auto, off, a pid nor the address of a Prometheus page")
            })?);
        }
    }
    Ok(())
}

/// What must be kept.
///
/// # Errors
/// A promise or rule that cannot be read.
pub fn promises(plan: &mut Plan, args: &Promises) -> Result<()> {
    if args.targets {
        let sampled = plan.server.auto || plan.server.pid.is_some();
        plan.pass.0.extend(Thresholds::targets(sampled).0);
    }
    for promise in &args.pass {
        let (metric, bound) = split(promise, "--pass", "response.p99<250ms")?;
        plan.pass.set(metric, bound)?;
    }
    for rule in &args.stop {
        let Some((metric, rule)) = rule.split_once('=') else {
            bail!("--stop \"{rule}\" has no value; write it as \"errors=10% over 5s\"");
        };
        set_stop(&mut plan.stop, metric, rule)?;
    }
    Ok(())
}

fn set_stop(rules: &mut StopRules, metric: &str, rule: &str) -> Result<()> {
    Ok(rules.set(metric.trim(), rule.trim())?)
}

/// `response.p99<250ms` into its halves; `response.p99=<250ms`, as scenarios write it, too.
fn split<'a>(text: &'a str, flag: &str, example: &str) -> Result<(&'a str, &'a str)> {
    let at = text
        .find(['<', '>'])
        .ok_or_else(|| anyhow!("{flag} \"{text}\" has no bound; write it as \"{example}\""))?;
    Ok((text[..at].trim().trim_end_matches('=').trim_end(), text[at..].trim()))
}

/// What is allowed: the host is this machine or declared as owned, rate and time stay below their caps.
///
/// # Errors
/// The cap that the plan exceeds, by the flag that raises it.
pub fn allowed(plan: &mut Plan, safety: &Safety) -> Result<()> {
    plan.target.owned.extend(safety.i_own_this_target.iter().cloned());
    if !is_loopback(&plan.target.url)
        && let Some(host) = host(&plan.target.url)
        && !plan.target.owned.iter().any(|owned| owned == host)
    {
        bail!(
            "{host} is not this machine; load only what is yours: --i-own-this-target {host} says that it is and that you may"
        );
    }
    let peak = plan.load.shape.curve()?.peak();
    if plan.load.model == Model::Open && peak > safety.max_rate {
        bail!("the plan asks for {peak} requests a second, more than --max-rate {}", safety.max_rate);
    }
    if plan.duration() > safety.max_time {
        bail!(
            "the plan lasts {}, longer than --max-time {}",
            humantime::format_duration(plan.duration()),
            humantime::format_duration(safety.max_time)
        );
    }
    plan.limits.rate = plan.limits.rate.min(safety.max_rate);
    plan.limits.duration = plan.limits.duration.min(safety.max_time);
    Ok(())
}

/// The host of an address, without port and user.
#[must_use]
pub fn host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit('@').next()?;
    if let Some(rest) = host_port.strip_prefix('[') {
        return rest.split(']').next();
    }
    host_port.split(':').next().filter(|host| !host.is_empty())
}

/// Whether an address names this machine by its loopback address or as `localhost`.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    host(url).is_some_and(|host| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

fn positive(flag: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { bail!("{flag} must be more than 0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_this_machine() {
        for url in ["http://127.0.0.1:80/x", "http://localhost", "ws://[::1]:9/", "tcp://127.9.9.9:1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://localhost.evil.org/",
            "http://127.0.0.1@10.0.0.1/",
            "http://10.0.0.1#127.0.0.1",
            "127.0.0.1",
            "http://",
            "http://0x7f.1",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
        assert_eq!(host("https://me:pw@api.example.com:8443/a?b=1"), Some("api.example.com"));
    }

    #[test]
    fn a_preset_is_stretched_in_height_and_length() {
        let mut plan = Preset::Spike.plan("http://127.0.0.1/");
        stretch(&mut plan, 5.0, 0.1);
        assert_eq!(plan.duration(), Duration::from_secs(7));
        let curve = plan.load.shape.curve().unwrap();
        assert_eq!((curve.peak(), curve.level(Duration::from_secs(1))), (150.0, 50.0));
    }

    #[test]
    fn a_longer_load_rises_as_before_and_holds_longer() {
        let mut plan = Preset::Load.plan("http://127.0.0.1/");
        stretch(&mut plan, 1.0, 60.0);
        assert_eq!(plan.duration(), Duration::from_secs(3600));
        assert_eq!(plan.load.shape.curve().unwrap().level(Duration::from_secs(11)), 10.0);
    }

    #[test]
    fn promises_are_read_as_people_write_them() {
        let mut plan = Preset::Load.plan("http://127.0.0.1/");
        let args = Promises {
            pass: vec!["response.p99<250ms".into(), "errors=<1%".into(), "rate >= 100".into()],
            stop: vec!["errors=10% over 5s".into()],
            targets: false,
        };
        promises(&mut plan, &args).unwrap();
        assert_eq!((plan.pass.0.len(), plan.stop.0.len()), (3, 1));
        for (pass, part) in [("p99", "no bound"), ("nonsense<1", "no metric"), ("errors<1s", "unit")] {
            let wrong = Promises { pass: vec![pass.into()], ..Promises::default() };
            let said = promises(&mut plan, &wrong).unwrap_err().to_string();
            assert!(said.contains(part), "{pass}: {said}");
        }
    }
}
