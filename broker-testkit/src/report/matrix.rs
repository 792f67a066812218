//! Kept reports as tables: which flag is proved where, and by which checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use broker_core::Capabilities;

use super::kept::REQUIRE;
use super::{Kept, Told};
use crate::CHECKS;

/// Kept reports as tables in Markdown.
#[derive(Clone, Debug)]
pub struct Matrix {
    reports: Vec<Kept>,
}

/// Runs that differ in nothing but the server.
struct Column<'a> {
    runs: Vec<&'a Kept>,
}

impl Matrix {
    /// The tables of these reports. The provider in process, which needs no server, comes first.
    #[must_use]
    pub fn new(mut reports: Vec<Kept>) -> Self {
        reports.sort_by_cached_key(|kept| {
            let server = kept.server.as_deref().unwrap_or_default();
            let (product, version) = server.split_once(' ').unwrap_or((server, ""));
            let numbers: Vec<_> = version
                .split('.')
                .map(|part| part.parse().unwrap_or(0_u32))
                .collect();
            let place = (
                kept.server.is_some(),
                kept.provider.clone(),
                kept.mode.clone(),
                kept.setup.clone(),
            );
            (place, product.to_owned(), numbers)
        });
        Self { reports }
    }

    /// One small table of all providers: which claim what.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut columns: Vec<Column<'_>> = Vec::new();
        for run in &self.reports {
            let same = |column: &&mut Column<'_>| {
                column.claimed() == run.claimed && column.provider() == run.provider
            };
            match columns.iter_mut().find(same) {
                Some(column) => column.runs.push(run),
                None => columns.push(Column { runs: vec![run] }),
            }
        }
        let labels = columns.iter().map(|column| {
            let of_provider = columns
                .iter()
                .filter(|other| other.provider() == column.provider());
            column.label(of_provider.count() == 1)
        });
        let mut table = Table::new(std::iter::once("guarantee".to_owned()).chain(labels));
        for flag in Capabilities::all().flags() {
            let cells = columns.iter().map(|column| {
                let mark = if column.claimed().contains(flag) {
                    "✓"
                } else {
                    "–"
                };
                mark.to_owned()
            });
            table.row(std::iter::once(code(flag)).chain(cells));
        }
        let servers = columns.iter().map(|column| column.servers());
        table.row(std::iter::once("proved on".to_owned()).chain(servers));
        table.text
    }

    /// One table for each way of running a provider: how many checks prove a flag, or see it refused.
    #[must_use]
    pub fn runs(&self) -> String {
        let mut text = String::new();
        let mut ways: Vec<String> = self.reports.iter().map(way).collect();
        ways.dedup();
        for name in ways {
            let runs: Vec<_> = self.reports.iter().filter(|run| way(run) == name).collect();
            section(&mut text, &name, &columns(&runs));
        }
        text.trim_end().to_owned() + "\n"
    }

    /// The checks behind each flag by name, then the law of each.
    #[must_use]
    pub fn proofs(&self) -> String {
        let mut text = String::new();
        let (mut proving, mut refusing) = (
            BTreeMap::<_, BTreeSet<_>>::new(),
            BTreeMap::<_, BTreeSet<_>>::new(),
        );
        let mut laws = BTreeSet::new();
        for (id, told) in self.reports.iter().flat_map(Kept::told) {
            let (table, flags) = match told {
                Told::Proves(flags) => (&mut proving, *flags),
                Told::Refuses(flags) => (&mut refusing, *flags),
                Told::NotExercised(_) => continue,
            };
            laws.insert(id);
            for flag in flags.flags() {
                table.entry(flag).or_default().insert(id);
            }
        }
        let none = BTreeSet::new();
        for flag in Capabilities::all().flags() {
            let proved = listed(proving.get(&flag).unwrap_or(&none));
            let refused = listed(refusing.get(&flag).unwrap_or(&none));
            let _ = writeln!(text, "### {}\n\nProved by {proved}.\n", code(flag));
            let _ = match refused.as_str() {
                "" => writeln!(text, "Refused where it is required and absent: `{REQUIRE}`.\n"),
                refused => writeln!(text, "Where it is absent, refused: {refused}, `{REQUIRE}`.\n"),
            };
        }
        let _ = writeln!(text, "### The laws\n");
        let mut table = Table::new(["check", "law", "level"].map(str::to_owned));
        let mut checks: Vec<_> = CHECKS.iter().filter(|check| laws.contains(check.id)).collect();
        checks.sort_by_key(|check| check.id);
        for check in checks {
            let law = check.law.replace('|', "\\|");
            table.row([format!("`{}`", check.id), law, check.level.to_string()]);
        }
        text + &table.text
    }
}

fn section(text: &mut String, name: &str, columns: &[Column<'_>]) {
    let _ = writeln!(text, "### {name}\n");
    let heads = columns.iter().map(Column::head);
    let mut table = Table::new(std::iter::once("flag".to_owned()).chain(heads));
    for flag in Capabilities::all().flags() {
        let cells = columns.iter().map(|column| column.cell(flag));
        table.row(std::iter::once(code(flag)).chain(cells));
    }
    let exercised = columns.iter().map(|column| {
        range(column.runs.iter().map(|run| {
            let held = run
                .told()
                .filter(|(_, told)| !matches!(told, Told::NotExercised(_)));
            held.count()
        }))
    });
    table.row(std::iter::once("laws that held".to_owned()).chain(exercised));
    let _ = writeln!(text, "{}", table.text);
    let mut lost: Vec<String> = Vec::new();
    for column in columns {
        for (flags, reason) in column.runs.iter().flat_map(|run| &run.lost) {
            let whose = match columns {
                [_] => String::new(),
                _ => format!("{}: ", column.way_within()),
            };
            let flags = flags
                .split(", ")
                .map(|flag| format!("`{flag}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let line = format!("- {whose}{flags} is absent: {reason}");
            if !lost.contains(&line) {
                lost.push(line);
            }
        }
    }
    if !lost.is_empty() {
        let _ = writeln!(text, "{}\n", lost.join("\n"));
    }
}

/// Runs that differ in nothing but the server are one column.
fn columns<'a>(runs: &[&'a Kept]) -> Vec<Column<'a>> {
    let mut columns: Vec<Column<'a>> = Vec::new();
    for run in runs {
        match columns.iter_mut().find(|column| {
            column.claimed() == run.claimed && column.way_within() == Column { runs: vec![run] }.way_within()
        }) {
            Some(column) => column.runs.push(run),
            None => columns.push(Column { runs: vec![run] }),
        }
    }
    columns
}

impl Column<'_> {
    fn claimed(&self) -> Capabilities {
        self.runs.first().map_or(Capabilities::empty(), |run| run.claimed)
    }

    fn provider(&self) -> &str {
        self.runs.first().map_or("", |run| &run.provider)
    }

    /// How it was set up.
    fn way_within(&self) -> &str {
        let setup = self.runs.first().map_or("", |run| &run.setup);
        if setup.is_empty() { "by default" } else { setup }
    }

    fn label(&self, alone: bool) -> String {
        let mut label = format!("`{}`", self.provider());
        if !alone {
            let ways: BTreeSet<_> = self
                .runs
                .iter()
                .map(|run| {
                    if run.mode.is_empty() {
                        &run.setup
                    } else {
                        &run.mode
                    }
                })
                .map(|way| if way.is_empty() { "by default" } else { way })
                .collect();
            let _ = write!(label, " {}", ways.into_iter().collect::<Vec<_>>().join(", "));
        }
        label
    }

    /// The products with their versions, each product once.
    fn servers(&self) -> String {
        let mut products: Vec<(String, Vec<String>)> = Vec::new();
        for series in self.runs.iter().filter_map(|run| run.series()) {
            let (product, version) = series.split_once(' ').unwrap_or((&series, ""));
            match products.iter_mut().find(|(known, _)| known == product) {
                Some((_, versions)) if versions.iter().any(|known| known == version) => {}
                Some((_, versions)) => versions.push(version.to_owned()),
                None => products.push((product.to_owned(), vec![version.to_owned()])),
            }
        }
        if products.is_empty() {
            return "in process".to_owned();
        }
        let told = products
            .into_iter()
            .map(|(product, versions)| format!("{} {}", capital(&product), versions.join(", ")));
        told.collect::<Vec<_>>().join("; ")
    }

    fn head(&self) -> String {
        let mut levels: Vec<_> = self.runs.iter().map(|run| run.level).collect();
        levels.sort();
        levels.dedup();
        let levels: Vec<_> = levels.iter().map(|level| level.as_str()).collect();
        format!(
            "{}<br>{}<br>{}",
            self.way_within(),
            self.servers(),
            levels.join(", ")
        )
    }

    fn cell(&self, flag: Capabilities) -> String {
        let counted = |wanted: &dyn Fn(&str, &Told) -> bool| {
            range(
                self.runs
                    .iter()
                    .map(|run| run.told().filter(|(id, told)| wanted(id, told)).count()),
            )
        };
        if !self.claimed().contains(flag) {
            let refused = counted(&|id, told| {
                id == REQUIRE || matches!(told, Told::Refuses(flags) if flags.contains(flag))
            });
            return format!("– {refused}");
        }
        match counted(&|_, told| matches!(told, Told::Proves(flags) if flags.contains(flag))).as_str() {
            "0" => "claimed".to_owned(),
            proved => format!("✓ {proved}"),
        }
    }
}

/// The heading that a run stands below: its provider, and the adapter's mode.
fn way(run: &Kept) -> String {
    match run.mode.as_str() {
        "" => format!("`{}`", run.provider),
        mode => format!("`{}`, mode `{mode}`", run.provider),
    }
}

fn code(flag: Capabilities) -> String {
    format!("`{}`", flag.name().unwrap_or("UNKNOWN"))
}

fn listed(ids: &BTreeSet<&str>) -> String {
    ids.iter()
        .map(|id| format!("`{id}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// One number, or the smallest and the largest.
fn range(numbers: impl Iterator<Item = usize>) -> String {
    let numbers: BTreeSet<_> = numbers.collect();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.to_string(),
        _ => String::new(),
    }
}

fn capital(word: &str) -> String {
    if word == "rabbitmq" {
        return "RabbitMQ".to_owned();
    }
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A table in Markdown.
struct Table {
    text: String,
}

impl Table {
    fn new(heads: impl IntoIterator<Item = String>) -> Self {
        let mut table = Self { text: String::new() };
        let heads: Vec<_> = heads.into_iter().collect();
        let rule = heads.iter().map(|_| "---".to_owned()).collect::<Vec<_>>();
        table.row(heads);
        let _ = writeln!(table.text, "|{}|", rule.join("|"));
        table
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }
}
