//! The page `docs/benchmarks.md`: what the stored results say, in words and tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::plot::{self, figure};
use crate::results::{Contest, Results, Row, Unit, Work};

/// What is ours among the libraries.
const OWN: &str = "broker";

/// The client underneath.
const RAW: &str = "raw";

/// From where on a difference is told as one: below, two runs of the same program differ as much.
const NOISE: f64 = 0.03;

/// The text before the tables, which the figures have no part in.
const HEAD: &str = include_str!("page_head.md");

/// Writes page and plots from the results in a folder, or fails where they say something else.
pub fn write(folder: &Path, page: &Path, check: bool) -> Result<()> {
    let results: Results = read(&folder.join("results.json"))?;
    let reasons: BTreeMap<String, String> = read(&folder.join("reasons.json"))?;
    let mut files: Vec<(PathBuf, String)> = vec![(page.to_owned(), text(&results, &reasons)?)];
    for contest in &results.contests {
        let plot = folder.join(format!("{}.svg", contest.server));
        files.push((plot, plot::draw(contest)?));
    }
    for (file, text) in files {
        if !check {
            std::fs::write(&file, text).with_context(|| format!("{} can't be written", file.display()))?;
        } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
            bail!(
                "{} is not what {} says; scripts/bench --page writes it",
                file.display(),
                folder.display()
            );
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no results", file.display()))
}

/// The page.
fn text(results: &Results, reasons: &BTreeMap<String, String>) -> Result<String> {
    let mut text = HEAD.to_owned();
    where_and_what(&mut text, results)?;
    behind(&mut text, results, reasons)?;
    for contest in &results.contests {
        server(&mut text, contest)?;
    }
    builds(&mut text, results)?;
    Ok(text)
}

fn where_and_what(text: &mut String, results: &Results) -> Result<()> {
    let machine = &results.machine;
    writeln!(text, "## Machine and versions\n")?;
    writeln!(
        text,
        "{}, {} cores, {} GiB, {}, {}; client and server share it.\n",
        machine.processor, machine.cores, machine.memory, machine.kernel, machine.compiler
    )?;
    let versions = results
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"));
    writeln!(text, "{}.\n", versions.collect::<Vec<_>>().join(" \u{b7} "))?;
    Ok(())
}

/// Where others do more, by their names and shares, and why.
fn behind(text: &mut String, results: &Results, reasons: &BTreeMap<String, String>) -> Result<()> {
    writeln!(text, "## Where we are behind\n")?;
    let mut any = false;
    for contest in &results.contests {
        for work in &contest.works {
            let ahead = ahead(work);
            if ahead.is_empty() {
                continue;
            }
            any = true;
            let reason = reasons.get(&format!("{}/{}", contest.server, work.name));
            let reason = reason.map_or("Not looked into yet.", String::as_str);
            writeln!(
                text,
                "- {}, {}: {}. {reason}",
                title(contest),
                work.title,
                ahead.join(", ")
            )?;
        }
    }
    if !any {
        writeln!(
            text,
            "Nowhere by more than the {:.0} % that two runs differ.",
            NOISE * 100.0
        )?;
    }
    writeln!(text)?;
    Ok(())
}

/// Who does more of this work than we do, and our share of theirs.
fn ahead(work: &Work) -> Vec<String> {
    let of = |row: &Row| row.measured.map(|of| of.median);
    let own = work.rows.iter().find(|row| row.library == OWN);
    let Some(own) = own.and_then(of) else {
        return Vec::new();
    };
    let others = work.rows.iter().filter(|row| row.library != OWN);
    others
        .filter_map(|row| {
            let theirs = of(row)?;
            let share = if row.library == RAW {
                // The ratio within the rounds is the better one of the two.
                let row = work.rows.iter().find(|row| row.library == OWN)?;
                row.measured?.ratio?
            } else {
                own / theirs
            };
            let better = if work.unit.more_is_better() {
                share < 1.0 - NOISE
            } else {
                share > 1.0 + NOISE
            };
            better.then(|| format!("{share:.2} of {}", name(&row.library)))
        })
        .collect()
}

fn name(library: &str) -> String {
    if library == RAW {
        "the raw client".to_owned()
    } else {
        library.to_owned()
    }
}

fn title(contest: &Contest) -> String {
    let Some(version) = &contest.version else {
        return "In process".to_owned();
    };
    let number = version.split(' ').next_back().unwrap_or_default();
    let name = match contest.server.as_str() {
        "redis" => "Redis",
        "rabbitmq" => "RabbitMQ",
        "kafka" => "Kafka",
        other => other,
    };
    format!("{name} {number}")
}

/// One server: its plot, its table, and the remarks.
fn server(text: &mut String, contest: &Contest) -> Result<()> {
    writeln!(text, "## {}\n", title(contest))?;
    writeln!(
        text,
        "![{}: bars of every library for each piece of work](benchmarks/{}.svg)\n",
        title(contest),
        contest.server
    )?;
    writeln!(
        text,
        "Medians of {} rounds with their quartiles, and the ratio to the raw client, `{}`.\n",
        contest.rounds, contest.raw
    )?;
    let Some(first) = contest.works.first() else {
        return Ok(());
    };
    let libraries: Vec<_> = first.rows.iter().map(|row| row.library.as_str()).collect();
    writeln!(text, "| work | {} |", libraries.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(libraries.len()))?;
    for work in &contest.works {
        let cells = libraries.iter().map(|library| {
            let row = work.rows.iter().find(|row| row.library == *library);
            row.map_or_else(String::new, |row| cell(row, work.unit))
        });
        let unit = match work.unit {
            Unit::PerSecond => "messages a second",
            Unit::Microseconds => "\u{b5}s",
            Unit::Mebibytes => "MiB",
        };
        writeln!(
            text,
            "| {}<br>{unit} | {} |",
            work.title,
            cells.collect::<Vec<_>>().join(" | ")
        )?;
    }
    writeln!(text)?;
    remarks(text, contest)
}

fn cell(row: &Row, unit: Unit) -> String {
    let Some(of) = row.measured else {
        return "\u{2013}".to_owned();
    };
    let (low, high) = of.quartiles;
    let median = figure(of.median, unit);
    let bold = if row.library == OWN { "**" } else { "" };
    let ratio = of
        .ratio
        .map(|ratio| format!("<br>\u{d7} {ratio:.2}"))
        .unwrap_or_default();
    format!(
        "{bold}{median}{bold}<br>{} \u{2013} {}{ratio}",
        figure(low, unit),
        figure(high, unit)
    )
}

/// Who can't do what, and where the work is not quite the same; each remark once, with the works it is about.
fn remarks(text: &mut String, contest: &Contest) -> Result<()> {
    let mut remarks: Vec<(String, Vec<&str>)> = Vec::new();
    for work in &contest.works {
        for row in work.rows.iter().filter(|row| !row.remark.is_empty()) {
            let sign = if row.measured.is_some() { "" } else { ", no figure" };
            let remark = format!("{}{sign}: {}", row.library, row.remark);
            match remarks.iter_mut().find(|(known, _)| *known == remark) {
                Some((_, works)) => works.push(&work.title),
                None => remarks.push((remark, vec![&work.title])),
            }
        }
    }
    for (remark, works) in &remarks {
        writeln!(text, "- {remark} ({})", works.join("; "))?;
    }
    if !remarks.is_empty() {
        writeln!(text)?;
    }
    Ok(())
}

fn builds(text: &mut String, results: &Results) -> Result<()> {
    if results.builds.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Building\n")?;
    writeln!(
        text,
        "A program with nothing but the library: how many crates it takes, and for some how long a release build from nothing takes.\n"
    )?;
    writeln!(text, "| for | library | crates | seconds |\n|---|---|---:|---:|")?;
    for build in &results.builds {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            build.server,
            build.library,
            build.crates,
            build
                .seconds
                .map_or_else(String::new, |seconds| format!("{seconds:.0}"))
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Measured;

    fn work(unit: Unit, rows: &[(&str, f64, Option<f64>)]) -> Work {
        let rows = rows.iter().map(|(library, median, ratio)| Row {
            library: (*library).to_owned(),
            measured: Some(Measured {
                median: *median,
                quartiles: (*median, *median),
                ratio: *ratio,
            }),
            remark: String::new(),
        });
        Work {
            name: "read".to_owned(),
            title: "read".to_owned(),
            unit,
            rows: rows.collect(),
        }
    }

    #[test]
    fn whoever_does_more_is_told() {
        let rows = [
            ("raw", 100.0, None),
            ("broker", 90.0, Some(0.9)),
            ("other", 95.0, Some(0.95)),
        ];
        let told = ["0.90 of the raw client", "0.95 of other"];
        assert_eq!(ahead(&work(Unit::PerSecond, &rows)), told);
        assert!(ahead(&work(Unit::Microseconds, &rows)).is_empty());
        let rows = [
            ("raw", 100.0, None),
            ("broker", 99.0, Some(0.99)),
            ("other", 50.0, Some(0.5)),
        ];
        assert!(ahead(&work(Unit::PerSecond, &rows)).is_empty());
    }

    #[test]
    fn who_takes_no_part_has_a_dash() {
        let row = Row {
            library: "other".to_owned(),
            measured: None,
            remark: "has none".to_owned(),
        };
        assert_eq!(cell(&row, Unit::PerSecond), "\u{2013}");
    }
}
