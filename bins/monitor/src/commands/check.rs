//! `check`: a configuration, the folder, the port, and whether every target answers.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::{Surroundings, load, print};
use crate::address::Address;
use crate::alert::Secret;
use crate::args::Check;
use crate::config::Config;
use crate::http::{Client, Request};
use crate::tune::{Remote, Target};
use crate::watch::bearer;
use crate::{now_ms, state};

pub(super) fn check(args: &Check, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(&args.configured, &args.settings, surroundings)?;
    if args.effective {
        for value in loaded.effective() {
            print(&format!("{value}\n"));
        }
        return Ok(Exit::COMPLETE);
    }
    let mut said = Said::default();
    let config = &loaded.value;
    said.line("configuration", Ok("sound".to_owned()));
    said.line(&format!("folder {}", config.monitor.data.display()), folder(&config.monitor.data));
    said.line(&format!("address {}", config.monitor.addr()), address(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(targets(config, surroundings, &mut said)).or_exit(Exit::BAD_INPUT)?;
    runtime.block_on(tuners(config, surroundings, &mut said)).or_exit(Exit::BAD_INPUT)?;
    print(&said.text);
    Ok(if said.wrong { Exit::INCOMPLETE } else { Exit::COMPLETE })
}

#[derive(Default)]
struct Said {
    text: String,
    wrong: bool,
}

impl Said {
    fn line(&mut self, what: &str, found: Result<String>) {
        let (mark, found) = match found {
            Ok(found) => ("ok   ", found),
            Err(error) => {
                self.wrong = true;
                ("WRONG", format!("{error:#}"))
            }
        };
        let _ = writeln!(self.text, "{mark}  {what}: {found}");
    }
}

fn folder(data: &Path) -> Result<String> {
    std::fs::create_dir_all(data).with_context(|| "it cannot be created; choose another with --data")?;
    let probe = data.join(".check");
    std::fs::write(&probe, b"writable")
        .and_then(|()| std::fs::remove_file(&probe))
        .context("it cannot be written to; choose another with --data, or change its owner")?;
    Ok("writable".to_owned())
}

fn address(config: &Config) -> Result<String> {
    let addr = config.monitor.addr();
    TcpListener::bind(addr)
        .context("it cannot be listened on; a monitor runs already, or choose another --port")?;
    let open = !addr.ip().is_loopback() && config.monitor.token_env.is_none();
    anyhow::ensure!(!open, "it is no loopback address: set monitor.token_env, or listen on 127.0.0.1");
    Ok("free".to_owned())
}

async fn targets(config: &Config, surroundings: &Surroundings, said: &mut Said) -> Result<()> {
    let client = Client::new(config.monitor.answers_max_bytes)?;
    for target in &config.targets {
        let asked = async {
            let mut request = Request::get(target.url.parse()?);
            request.timeout = target.timeout;
            request.max_bytes = target.max_bytes;
            let token = bearer(target.token_env.as_ref(), &|name| surroundings.secret(name))?;
            request.headers.extend(token.map(|token| (http::header::AUTHORIZATION, token)));
            let answer = client.send(&request).await?;
            anyhow::ensure!(answer.status.is_success(), "it answered {}", answer.status);
            Ok(format!("answered {} bytes", answer.body.len()))
        };
        let found = asked.await;
        said.line(&format!("target {} {}", target.name, target.url), found);
    }
    Ok(())
}

/// Whether each tuner's target answers with its knobs, and how long ago something was decided: a rule whose cooldown runs
/// decides nothing.
async fn tuners(config: &Config, surroundings: &Surroundings, said: &mut Said) -> Result<()> {
    if !config.monitor.auto_tuning {
        said.line("tuning", Ok("off: no knob is moved".to_owned()));
    }
    let client = Client::new(config.monitor.answers_max_bytes)?;
    for target in &config.tuning.target {
        let asked = async {
            let address = Address::parse(&target.url).map_err(anyhow::Error::msg)?;
            let token = match &target.token_env {
                None => None,
                Some(name) => Some(surroundings.secret(name).with_context(|| format!("{name} is not set"))?),
            };
            let remote = Remote::new(client.clone(), address, token.map(Secret::new), target.timeout);
            let shown = remote.look().await.map_err(|refusal| anyhow::anyhow!(refusal.why))?;
            let own = match (shown.enabled, target.take_over) {
                (Some(true), true) => "; its own tuner is switched off while we run",
                (Some(true), false) => {
                    "; it tunes itself, so it is left alone (take_over = true changes that)"
                }
                _ => "",
            };
            Ok(format!("{} knobs{own}; {}", shown.knobs.len(), decided(config, target)?))
        };
        let found = asked.await;
        said.line(&format!("tuner of {}", target.name), found);
    }
    Ok(())
}

fn decided(config: &Config, target: &Target) -> Result<String> {
    let file = state::folder(&config.monitor.data).join(format!("tuning-{}.json", target.name));
    let records: Vec<tidemill_autotune::Record> = state::read(&file)?.unwrap_or_default();
    let Some(last) = records.iter().map(|record| record.at).max() else {
        return Ok("nothing was decided yet".to_owned());
    };
    let ago = std::time::Duration::from_millis(now_ms().unsigned_abs()).saturating_sub(last);
    let rules = target.rules()?.rule;
    let cooling = rules.iter().filter(|rule| rule.cooldown > ago).count();
    let (count, ago) = (records.len(), ago.as_secs());
    Ok(format!("{count} decisions, the last {ago} s ago; the cooldown of {cooling} rules may still run"))
}
