//! `wasmill top`: pipelines as they run, on a terminal.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState};
use reqwest::Method;

use super::remote::RemoteArgs;
use crate::api::routes::Receipts;
use crate::api::views::{Pipeline, Pipelines, State};
use crate::failure::Failure;
use crate::output::Output;

/// Show pipelines as they run, with the rates of all their parts
///
/// Keys: up and down choose a pipeline, `p` pauses or resumes it, `r` reloads it, `q` ends. Without a terminal, or with
/// `--json`, it looks once, for a second.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Look once, for a second
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

const EVERY: Duration = Duration::from_secs(1);

/// Two looks, and what lies between.
struct Looks {
    now: Vec<Pipeline>,
    at: Instant,
    /// What each node and pipeline had when it was looked at before: records in and out.
    before: HashMap<(String, String), (u64, u64)>,
    between: Duration,
}

impl Looks {
    fn first(remote: &RemoteArgs) -> Result<Self, Failure> {
        let all: Pipelines = remote.ask(Method::GET, &["v1", "pipelines"])?;
        Ok(Self {
            now: all.pipelines,
            at: Instant::now(),
            before: HashMap::new(),
            between: EVERY,
        })
    }

    fn again(&mut self, remote: &RemoteArgs) -> Result<(), Failure> {
        let all: Pipelines = remote.ask(Method::GET, &["v1", "pipelines"])?;
        self.before = self.counts();
        self.between = self.at.elapsed();
        self.at = Instant::now();
        self.now = all.pipelines;
        Ok(())
    }

    fn counts(&self) -> HashMap<(String, String), (u64, u64)> {
        let mut counts = HashMap::new();
        for one in &self.now {
            let totals = (one.counters.records_read, one.counters.records_written);
            counts.insert((one.name.to_string(), String::new()), totals);
            for node in &one.nodes {
                let key = (one.name.to_string(), node.name.to_string());
                counts.insert(key, (node.records_in, node.records_out));
            }
        }
        counts
    }

    /// Records in and out a second; 0 when it was not seen before, or has been started anew.
    fn rates(&self, pipeline: &str, node: &str, now: (u64, u64)) -> (f64, f64) {
        let key = (pipeline.to_owned(), node.to_owned());
        let before = self.before.get(&key).copied().unwrap_or(now);
        let seconds = self.between.as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        (rate(now.0, before.0), rate(now.1, before.1))
    }

    fn pipelines(&self) -> Vec<Vec<String>> {
        let rows = self.now.iter().map(|one| {
            let counters = &one.counters;
            let (read, written) = self.rates(&one.name, "", (counters.records_read, counters.records_written));
            vec![
                one.name.to_string(),
                one.state.name().to_owned(),
                format!("{read:.0}"),
                format!("{written:.0}"),
                one.lag_total.to_string(),
                millis(one.latency.p50_ms),
                millis(one.latency.p99_ms),
                counters.dead_letters.to_string(),
                one.why.clone().unwrap_or_default(),
            ]
        });
        rows.collect()
    }

    fn nodes(&self, pipeline: &Pipeline) -> Vec<Vec<String>> {
        let rows = pipeline.nodes.iter().map(|node| {
            let (read, written) = self.rates(&pipeline.name, &node.name, (node.records_in, node.records_out));
            vec![
                node.name.to_string(),
                node.label.clone(),
                format!("{read:.0}"),
                format!("{written:.0}"),
                node.lag.map(|lag| lag.to_string()).unwrap_or_default(),
                millis(node.latency.as_ref().and_then(|latency| latency.p99_ms)),
                node.errors.to_string(),
            ]
        });
        rows.collect()
    }
}

const PIPELINES: [&str; 9] = [
    "pipeline",
    "is",
    "read/s",
    "written/s",
    "lag",
    "p50 ms",
    "p99 ms",
    "dead letters",
    "why",
];
const NODES: [&str; 7] = ["node", "what", "in/s", "out/s", "lag", "p99 ms", "errors"];

fn millis(time: Option<f64>) -> String {
    time.map(|time| format!("{time:.1}")).unwrap_or_default()
}

/// Runs the command.
pub(crate) fn run(args: &TopArgs, output: Output) -> Result<(), Failure> {
    let mut looks = Looks::first(&args.remote)?;
    if args.once || output.is_json() || !std::io::stdout().is_terminal() {
        std::thread::sleep(EVERY);
        looks.again(&args.remote)?;
        return once(&looks, output);
    }
    let mut terminal = ratatui::try_init().map_err(of_terminal)?;
    let outcome = serve(&mut terminal, looks, &args.remote);
    ratatui::restore();
    outcome
}

fn of_terminal(source: std::io::Error) -> Failure {
    Failure::Stdio {
        doing: "use the terminal",
        source,
    }
}

fn once(looks: &Looks, output: Output) -> Result<(), Failure> {
    let mut text = output.table(&PIPELINES, looks.pipelines());
    for one in &looks.now {
        text.push_str(&format!("\n\n{}\n", one.name));
        text.push_str(&output.table(&NODES, looks.nodes(one)));
    }
    let rates: Vec<_> = looks
        .now
        .iter()
        .map(|one| {
            let counters = &one.counters;
            let (read, written) = looks.rates(&one.name, "", (counters.records_read, counters.records_written));
            let nodes = one.nodes.iter().map(|node| {
                let (read, written) = looks.rates(&one.name, &node.name, (node.records_in, node.records_out));
                serde_json::json!({ "name": node.name, "in_per_second": read, "out_per_second": written })
            });
            serde_json::json!({
                "name": one.name, "state": one.state, "lag": one.lag_total,
                "read_per_second": read, "written_per_second": written, "nodes": nodes.collect::<Vec<_>>(),
            })
        })
        .collect();
    output.result(&text, &serde_json::json!({ "pipelines": rates }))
}

fn serve(terminal: &mut ratatui::DefaultTerminal, mut looks: Looks, remote: &RemoteArgs) -> Result<(), Failure> {
    let mut chosen = TableState::default().with_selected(0);
    let mut told = String::new();
    loop {
        terminal
            .draw(|frame| draw(frame, &looks, &mut chosen, &told))
            .map_err(of_terminal)?;
        let left = EVERY.saturating_sub(looks.at.elapsed());
        if event::poll(left).map_err(of_terminal)? {
            let Event::Key(key) = event::read().map_err(of_terminal)? else {
                continue;
            };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            let one = looks.now.get(chosen.selected().unwrap_or(0));
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Up | KeyCode::Char('k') => chosen.select_previous(),
                KeyCode::Down | KeyCode::Char('j') => chosen.select_next(),
                KeyCode::Char('p') => told = one.map_or_else(String::new, |one| pause(remote, one)),
                KeyCode::Char('r') => told = one.map_or_else(String::new, |one| reload(remote, one)),
                _ => {}
            }
            continue;
        }
        match looks.again(remote) {
            Ok(()) => {}
            // It may come back: what was seen last stays.
            Err(failure) => {
                told = failure.to_string();
                looks.at = Instant::now();
            }
        }
    }
}

fn pause(remote: &RemoteArgs, one: &Pipeline) -> String {
    let what = if one.state == State::Paused { "resume" } else { "pause" };
    match remote.ask::<Pipeline>(Method::POST, &["v1", "pipelines", &one.name, what]) {
        Ok(_) => format!("{what}: {}", one.name),
        Err(failure) => failure.to_string(),
    }
}

fn reload(remote: &RemoteArgs, one: &Pipeline) -> String {
    match remote.ask::<Receipts>(Method::POST, &["v1", "pipelines", &one.name, "reload"]) {
        Err(failure) => failure.to_string(),
        Ok(receipts) => {
            let receipts = receipts.receipts.iter().map(|receipt| {
                let why = receipt.problems.first().map(|problem| format!(": {}", problem.message));
                format!(
                    "reload {} was {}{}",
                    receipt.id,
                    receipt.outcome.name(),
                    why.unwrap_or_default()
                )
            });
            receipts.collect::<Vec<_>>().join("; ")
        }
    }
}

fn draw(frame: &mut Frame<'_>, looks: &Looks, chosen: &mut TableState, told: &str) {
    let lines = u16::try_from(looks.now.len()).unwrap_or(u16::MAX).saturating_add(3);
    let most = frame.area().height / 2;
    let parts = [
        Constraint::Length(lines.min(most.max(4))),
        Constraint::Min(4),
        Constraint::Length(1),
    ];
    let [above, below, last] = Layout::vertical(parts).areas(frame.area());
    let widths = [16, 10, 10, 10, 10, 9, 9, 12].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Fill(1)]);
    let rows = looks.pipelines().into_iter().zip(&looks.now).map(|(row, one)| {
        let style = Style::new().fg(color(one.state));
        Row::new(row.into_iter().enumerate().map(move |(i, text)| {
            let cell = Cell::new(text);
            if i == 1 { cell.style(style) } else { cell }
        }))
    });
    let table = Table::new(rows, widths)
        .header(Row::new(PIPELINES).style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(" pipelines "));
    frame.render_stateful_widget(table, above, chosen);
    if let Some(one) = chosen.selected().and_then(|i| looks.now.get(i)) {
        let widths = [20, 28, 10, 10, 10, 9, 8].map(Constraint::Length);
        let table = Table::new(looks.nodes(one).into_iter().map(Row::new), widths)
            .header(Row::new(NODES).style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title(format!(" {} ", one.name)));
        frame.render_widget(table, below);
    }
    let help = " up/down choose  p pause  r reload  q end";
    let text = if told.is_empty() { help } else { told };
    frame.render_widget(Paragraph::new(Line::from(text)), last);
}

fn color(state: State) -> Color {
    match state {
        State::Running => Color::Green,
        State::Starting | State::Paused => Color::Yellow,
        State::Degraded | State::Failed => Color::Red,
        State::Stopped => Color::DarkGray,
    }
}
