//! The view on a terminal, from a [`Dashboard`] alone.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, BorderType, Cell, Clear, Gauge, Paragraph, Row, Sparkline, SparklineBar, Table,
};

use super::dashboard::{Collector, Curve, Dashboard};
use super::plain::clock;
use super::words::{bytes, count, percent, seconds, span};

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    colors: bool,
}

impl Palette {
    /// As `NO_COLOR` wants it: set to anything but the empty string, there are none.
    #[must_use]
    pub fn new(no_color: Option<&str>) -> Self {
        Self { colors: no_color.is_none_or(str::is_empty) }
    }

    fn of(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    fn muted(self) -> Style {
        self.of(Color::DarkGray)
    }

    fn accent(self) -> Style {
        self.of(Color::Cyan)
    }

    /// Without colours what is bad is bold.
    fn grade(self, severity: &str) -> Style {
        let strong = Style::new().add_modifier(Modifier::BOLD);
        match severity {
            "critical" | "error" => self.of(Color::Red).patch(strong),
            "warning" | "poor" | "fair" => self.of(Color::Yellow),
            "good" | "excellent" => self.of(Color::Green),
            _ => Style::new(),
        }
    }

    fn level(self, value: Option<f64>, warning: f64, critical: f64) -> Style {
        match value {
            Some(value) if value > critical => self.grade("critical"),
            Some(value) if value > warning => self.grade("warning"),
            _ => self.accent(),
        }
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, board: &Dashboard, palette: Palette) {
    let area = frame.area();
    let wide = area.width >= 100;
    let bars: usize = board.collectors.values().map(|collector| collector.progress.len()).sum();
    let work = if board.collectors.is_empty() { 0 } else { 3 + board.collectors.len() + bars } as u16;
    let host = if wide { 7 } else { 12 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(host),
        Constraint::Length(work),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [title, host, work, lists, keys] = Layout::vertical(rows).areas(area);
    head(frame, title, board, palette);
    machine(frame, host, wide, board, palette);
    if work.height > 0 {
        collectors(frame, work, board, palette);
    }
    let sides = if wide {
        [Constraint::Percentage(50); 2]
    } else {
        [Constraint::Percentage(45), Constraint::Percentage(55)]
    };
    let [left, right] =
        if wide { Layout::horizontal(sides).areas(lists) } else { Layout::vertical(sides).areas(lists) };
    targets(frame, left, board, palette);
    alerts(frame, right, board, palette);
    let text = " q quit   space hold   r now   + - faster, slower   ? keys";
    frame.render_widget(Paragraph::new(text).style(palette.muted()), keys);
    if board.help {
        help(frame, area, palette);
    }
}

fn head(frame: &mut Frame<'_>, area: Rect, board: &Dashboard, palette: Palette) {
    let mut spans = vec![Span::styled(" ≋ Tidemill ", palette.accent().add_modifier(Modifier::BOLD))];
    if !board.status.is_empty() {
        spans.push(Span::styled(format!(" {} ", board.status), palette.grade(&board.status)));
    }
    spans.push(Span::styled(format!(" {}", board.from), palette.muted()));
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
    let state = match (&board.error, board.held) {
        (Some(error), _) => Span::styled(format!("{error} "), palette.grade("critical")),
        (None, true) => Span::styled(format!("held · {} ", clock(board.at_ms)), palette.grade("warning")),
        (None, false) => {
            Span::styled(format!("{} · every {} s ", clock(board.at_ms), board.every_s), palette.muted())
        }
    };
    frame.render_widget(Paragraph::new(Line::from(state)).alignment(Alignment::Right), area);
}

fn block(title: &str, palette: Palette) -> Block<'_> {
    let border = palette.muted();
    Block::bordered().border_type(BorderType::Rounded).border_style(border).title(format!(" {title} "))
}

fn machine(frame: &mut Frame<'_>, area: Rect, wide: bool, board: &Dashboard, palette: Palette) {
    let host = &board.host;
    let cells: [Rect; 4] = if wide {
        Layout::horizontal([Constraint::Ratio(1, 4); 4]).areas(area)
    } else {
        let [above, below] = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas(area);
        let [a, b] = Layout::horizontal([Constraint::Ratio(1, 2); 2]).areas(above);
        let [c, d] = Layout::horizontal([Constraint::Ratio(1, 2); 2]).areas(below);
        [a, b, c, d]
    };
    let load = host.load.map(|load| format!("load {load:.2}"));
    let memory =
        host.used.zip(host.total).map(|(used, total)| format!("{} of {}", bytes(used), bytes(total)));
    let disk = host.read.zip(host.written).map(|(r, w)| format!("r {}  w {}", bytes(r), bytes(w)));
    let network = host.received.zip(host.sent).map(|(i, o)| format!("↓{} ↑{}", bytes(i), bytes(o)));
    let share = |curve: &Curve| curve.last().map(percent);
    let total = host.network.last().map(|value| format!("{}/s", bytes(value)));
    let all = [
        ("Processor", &host.cpu, share(&host.cpu), load, Some(100.0), (70.0, 90.0)),
        ("Memory", &host.memory, share(&host.memory), memory, Some(100.0), (80.0, 95.0)),
        ("Disk", &host.disk, share(&host.disk), disk, Some(100.0), (80.0, 95.0)),
        ("Network", &host.network, total, network, None, (f64::MAX, f64::MAX)),
    ];
    for (cell, (name, curve, value, about, top, (warning, critical))) in cells.into_iter().zip(all) {
        let style = palette.level(curve.last(), warning, critical);
        let block = block(name, palette);
        let inner = block.inner(cell);
        frame.render_widget(block, cell);
        let [text, line] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(inner);
        let spans = vec![
            Span::styled(value.unwrap_or_else(|| "–".to_owned()), style.add_modifier(Modifier::BOLD)),
            Span::styled(about.map(|about| format!("  {about}")).unwrap_or_default(), palette.muted()),
        ];
        frame.render_widget(Paragraph::new(Line::from(spans)), text);
        sparkline(frame, line, curve, top.unwrap_or_else(|| curve.peak()), style);
    }
}

/// The newest value stands at the right edge.
fn sparkline(frame: &mut Frame<'_>, area: Rect, curve: &Curve, top: f64, style: Style) {
    let width = usize::from(area.width);
    let skipped = curve.values.len().saturating_sub(width);
    let missing = width.saturating_sub(curve.values.len());
    let bar = |value: Option<f64>| SparklineBar::from(value.map(|value| (value.max(0.0) * 1000.0) as u64));
    let values =
        std::iter::repeat_n(None, missing).chain(curve.values.iter().skip(skipped).copied()).map(bar);
    let sparkline = Sparkline::default().data(values).max(((top * 1000.0) as u64).max(1)).style(style);
    frame.render_widget(sparkline.absent_value_symbol(" "), area);
}

fn collectors(frame: &mut Frame<'_>, area: Rect, board: &Dashboard, palette: Palette) {
    let block = block("Collectors", palette);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let table_rows = board.collectors.len() as u16 + 1;
    let [table, bars] = Layout::vertical([Constraint::Length(table_rows), Constraint::Min(0)]).areas(inner);
    // Where there is little room, what can be told from the rest is left out.
    let keep: &[usize] = if area.width >= 96 { &[0, 1, 2, 3, 4, 5, 6] } else { &[0, 1, 3, 4, 6] };
    let names =
        ["", "items/min", "rows/min", "success", "failures", "in flight", "response min / mean / max"];
    let widths = [14, 10, 10, 9, 9, 10, 26];
    let widths = keep.iter().map(|at| Constraint::Length(widths[*at]));
    let names = Row::new(keep.iter().map(|at| names[*at])).style(palette.muted());
    let rows = board.collectors.iter().map(|(name, collector)| {
        let cells = work(name, collector, palette);
        Row::new(keep.iter().map(|at| cells[*at].clone()))
    });
    frame.render_widget(Table::new(rows, widths).header(names), table);
    let all = board
        .collectors
        .iter()
        .flat_map(|(name, collector)| collector.progress.iter().map(move |one| (name, one)));
    for (row, (name, (of, eta))) in bars.rows().zip(all) {
        let left = match eta.left_s() {
            Some(0.0) => "done".to_owned(),
            Some(left) => format!("{} left", span(left)),
            None => "–".to_owned(),
        };
        let label = format!("{name} {of}  {}  {left}", percent(100.0 * eta.share()));
        let gauge = Gauge::default().ratio(eta.share()).label(label).gauge_style(palette.accent());
        frame.render_widget(gauge.use_unicode(true), row);
    }
}

fn work<'a>(name: &'a str, collector: &Collector, palette: Palette) -> [Cell<'a>; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let response = [collector.response.min_s, collector.response.mean_s, collector.response.max_s];
    let response = response.map(|value| or_dash(value.map(seconds))).join(" / ");
    let success = match collector.success_percent {
        Some(share) if share < 80.0 => palette.grade("critical"),
        Some(share) if share < 95.0 => palette.grade("warning"),
        _ => palette.grade("good"),
    };
    [
        Cell::new(name),
        Cell::new(or_dash(collector.items_per_min.last().map(count))),
        Cell::new(or_dash(collector.rows_per_min.map(count))),
        Cell::new(or_dash(collector.success_percent.map(|share| format!("{share:.1} %")))).style(success),
        Cell::new(or_dash(collector.failures.map(count))),
        Cell::new(or_dash(collector.in_flight.map(count))),
        Cell::new(response),
    ]
}

fn targets(frame: &mut Frame<'_>, area: Rect, board: &Dashboard, palette: Palette) {
    let rows = board.targets.iter().map(|target| {
        let (state, style) =
            if target.up { ("up", palette.grade("good")) } else { ("down", palette.grade("critical")) };
        let about = match &target.error {
            Some(error) => error.clone(),
            None => format!("{} values in {}", target.series.len(), seconds(target.took_ms / 1000.0)),
        };
        Row::new([
            Cell::new(target.name.clone()),
            Cell::new(state).style(style),
            Cell::new(about).style(palette.muted()),
        ])
    });
    let widths = [Constraint::Length(16), Constraint::Length(5), Constraint::Min(10)];
    frame.render_widget(Table::new(rows, widths).block(block("Targets", palette)), area);
}

fn alerts(frame: &mut Frame<'_>, area: Rect, board: &Dashboard, palette: Palette) {
    let block = block("Alerts", palette);
    if board.alerts.is_empty() {
        frame.render_widget(Paragraph::new("all quiet").style(palette.muted()).block(block), area);
        return;
    }
    let rows = board.alerts.iter().map(|alert| {
        let since = span((board.at_ms - alert.since_ms) as f64 / 1000.0);
        let seen = if alert.state == "firing" { "" } else { alert.state.as_str() };
        Row::new([
            Cell::new(alert.severity.clone()).style(palette.grade(&alert.severity)),
            Cell::new(format!("{} {seen}", alert.summary)),
            Cell::new(since).style(palette.muted()),
        ])
    });
    let widths = [Constraint::Length(9), Constraint::Min(10), Constraint::Length(12)];
    frame.render_widget(Table::new(rows, widths).block(block), area);
}

fn help(frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    const KEYS: [(&str, &str); 6] = [
        ("q, Esc", "quit"),
        ("space", "hold the picture, go on"),
        ("r", "ask now"),
        ("+", "ask more often"),
        ("-", "ask less often"),
        ("?", "show and hide these keys"),
    ];
    let (width, height) = (40.min(area.width), 8.min(area.height));
    let inside =
        Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    let rows = KEYS.map(|(key, what)| Row::new([Cell::new(key).style(palette.accent()), Cell::new(what)]));
    let table = Table::new(rows, [Constraint::Length(8), Constraint::Min(10)]).block(block("Keys", palette));
    frame.render_widget(Clear, inside);
    frame.render_widget(table, inside);
}
