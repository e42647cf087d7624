//! The shell of the view: asks, draws, and does what the keys say.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tidemill_shell::signals::Shutdown;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dashboard::Dashboard;
use super::draw::{Palette, draw};
use super::plain::line;
use super::source::Source;

/// Where a monitor is when nobody says.
const HERE: &str = "http://127.0.0.1:8080";
/// Seconds between two snapshots that can be chosen.
const PACES: [u64; 6] = [1, 2, 5, 10, 30, 60];

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A monitor, or a Prometheus endpoint; default the monitor of this machine, or the machine itself without one.
    pub url: Option<String>,
    /// Seconds between two snapshots.
    pub every_s: u64,
    /// One line, then the end.
    pub once: bool,
    /// Value of `NO_COLOR`.
    pub no_color: Option<String>,
}

enum Act {
    Quit,
    Hold,
    Now,
    Faster,
    Slower,
    Help,
    Redraw,
}

/// Shows it until a key or a signal ends it. Without a terminal: lines.
///
/// # Errors
/// No address, or no answer when only one is wanted.
pub async fn run(options: &Options, shutdown: &Shutdown) -> Result<()> {
    let every = Duration::from_secs(if options.once { 1 } else { options.every_s });
    let (source, from) = source(options, every).await?;
    let mut board = Dashboard::new(&from, options.every_s);
    if options.once {
        // Rates need two rounds.
        if matches!(source, Source::Own(_)) {
            tokio::time::sleep(every * 2 + every / 2).await;
        }
        board.take(source.ask().await?);
        writeln!(io::stdout(), "{}", line(&board)).context("standard output is closed")?;
        return Ok(());
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return lines(&source, &mut board, every, shutdown).await;
    }
    let mut terminal = ratatui::try_init().context("the terminal cannot be taken over")?;
    let shown =
        show(&source, &mut board, &mut terminal, Palette::new(options.no_color.as_deref()), shutdown).await;
    ratatui::try_restore().context("the terminal cannot be given back; run `reset`")?;
    shown
}

async fn source(options: &Options, every: Duration) -> Result<(Source, String)> {
    if let Some(url) = &options.url {
        return Ok((Source::open(url, every)?, url.clone()));
    }
    let monitor = Source::open(HERE, every)?;
    if monitor.ask().await.is_ok() {
        return Ok((monitor, HERE.to_owned()));
    }
    Ok((Source::here(every)?, "this machine".to_owned()))
}

async fn lines(source: &Source, board: &mut Dashboard, every: Duration, shutdown: &Shutdown) -> Result<()> {
    let mut ticks = tokio::time::interval(every);
    loop {
        tokio::select! {
            () = shutdown.draining() => return Ok(()),
            _ = ticks.tick() => {}
        }
        look(source, board).await;
        if writeln!(io::stdout(), "{}", line(board)).is_err() {
            // Whoever read it has gone.
            return Ok(());
        }
    }
}

async fn show(
    source: &Source,
    board: &mut Dashboard,
    terminal: &mut DefaultTerminal,
    palette: Palette,
    shutdown: &Shutdown,
) -> Result<()> {
    let mut acts = keys();
    // What this process watches itself needs a moment for its first values.
    let mut next = Instant::now();
    loop {
        terminal.draw(|frame| draw(frame, board, palette))?;
        tokio::select! {
            () = shutdown.draining() => return Ok(()),
            () = tokio::time::sleep_until(next), if !board.held => {
                look(source, board).await;
                let soon = board.targets.iter().all(|target| target.series.is_empty());
                let wait = if soon { Duration::from_millis(500) } else { Duration::from_secs(board.every_s) };
                next = Instant::now() + wait;
            }
            act = acts.recv() => {
                let Some(act) = act else { return Ok(()) };
                let pace = |step: isize| {
                    let at = PACES.iter().position(|pace| *pace >= board.every_s).unwrap_or(PACES.len() - 1);
                    PACES[at.saturating_add_signed(step).min(PACES.len() - 1)]
                };
                match act {
                    Act::Quit => return Ok(()),
                    Act::Hold => board.held = !board.held,
                    Act::Now => next = Instant::now(),
                    Act::Help => board.help = !board.help,
                    Act::Redraw => {}
                    Act::Faster => board.every_s = pace(-1),
                    Act::Slower => board.every_s = pace(1),
                }
                if matches!(act, Act::Faster | Act::Slower) {
                    next = next.min(Instant::now() + Duration::from_secs(board.every_s));
                }
            }
        }
    }
}

async fn look(source: &Source, board: &mut Dashboard) {
    match source.ask().await {
        Ok(snapshot) => board.take(snapshot),
        Err(error) => board.error = Some(format!("{error:#}")),
    }
}

/// A thread that waits for keys; it ends with the process, or when nobody listens at its next key.
fn keys() -> mpsc::Receiver<Act> {
    let (to, acts) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let act = match event {
                Event::Key(key) if key.kind == KeyEventKind::Release => continue,
                Event::Key(key)
                    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') =>
                {
                    Act::Quit
                }
                Event::Key(key) => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => Act::Quit,
                    KeyCode::Char(' ') => Act::Hold,
                    KeyCode::Char('r') => Act::Now,
                    KeyCode::Char('+' | '=') => Act::Faster,
                    KeyCode::Char('-') => Act::Slower,
                    KeyCode::Char('?' | 'h') => Act::Help,
                    _ => continue,
                },
                Event::Resize(..) => Act::Redraw,
                _ => continue,
            };
            if to.blocking_send(act).is_err() {
                return;
            }
        }
    });
    acts
}
