//! `broker capabilities`.

mod marked;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_testkit::report::{Kept, Matrix};
use clap::Args;
use serde_json::json;

use crate::exit::Stop;
use crate::session::Session;

/// Make the tables of what is proved from conformance reports, and hold reports against those that are kept.
#[derive(Args)]
pub(crate) struct Capabilities {
    /// Reports as JSON, of `conformance --report` or of an adapter's own test; a folder stands for the files in it.
    #[arg(value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// The folder of the kept reports; the others are held against them, and the tables are made from them.
    #[arg(long, value_name = "FOLDER")]
    kept: Option<PathBuf>,
    /// A file in Markdown with marked places for the tables, which must be up to date; may be given several times.
    #[arg(long, value_name = "FILE", requires = "kept")]
    into: Vec<PathBuf>,
    /// Keep what the reports say, and write the tables, where they differ.
    #[arg(long, requires = "kept")]
    update: bool,
}

impl Capabilities {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let mut reports = Vec::new();
        for file in files(&self.reports)? {
            let text = read(&file)?;
            let kept = Kept::of_report(&text).map_err(|error| told(&file, error))?;
            reports.push(kept);
        }
        // The more thorough of two runs has the last word.
        reports.sort_by_key(|report| report.level);
        let Some(folder) = &self.kept else {
            if reports.is_empty() {
                return Err(Stop::usage("name a report, or a folder with reports"));
            }
            let matrix = Matrix::new(reports);
            session.line(matrix.runs())?;
            return Ok(write!(session.output(), "{}", matrix.proofs())?);
        };
        let mut keeping = Keeping::of(folder, self.update)?;
        for report in reports {
            keeping.hold(report)?;
        }
        let compared = keeping.compared.len();
        let matrix = Matrix::new(keeping.kept.values().cloned().collect());
        for file in &self.into {
            keeping.tables(file, &matrix)?;
        }
        for note in &keeping.notes {
            if session.is_json() {
                session.object(&json!({ "note": note }))?;
            } else {
                session.line(format_args!("NOT KEPT: {note}"))?;
            }
        }
        for line in &keeping.changes {
            if session.is_json() {
                session.object(&json!({ "change": line, "written": self.update }))?;
            } else {
                session.line(line)?;
            }
        }
        if !session.is_json() {
            session.line(format_args!(
                "{compared} of {} kept reports were held against a run; {} changes{}",
                keeping.kept.len(),
                keeping.changes.len(),
                if self.update { ", written" } else { "" },
            ))?;
        }
        if keeping.changes.is_empty() || self.update {
            return Ok(());
        }
        Err(Stop::failure(
            "the runs differ from what is kept; where the runs are right, the same command with --update keeps them",
        ))
    }
}

/// The kept reports, and what differs from them.
struct Keeping<'a> {
    folder: &'a Path,
    update: bool,
    kept: BTreeMap<String, Kept>,
    compared: std::collections::BTreeSet<String>,
    changes: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Keeping<'a> {
    fn of(folder: &'a Path, update: bool) -> Result<Self, Stop> {
        let mut kept = BTreeMap::new();
        let there = if folder.is_dir() {
            files(&[folder.to_owned()])?
        } else {
            Vec::new()
        };
        for file in there {
            let report = Kept::from_json(&read(&file)?).map_err(|error| told(&file, error))?;
            let name = report.file_name();
            if !file.ends_with(&name) {
                return Err(told(&file, format_args!("what is in it is kept as {name}")));
            }
            kept.insert(name, report);
        }
        Ok(Self {
            folder,
            update,
            kept,
            compared: Default::default(),
            changes: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Compares a report with the kept one, and keeps it instead where it differs and that was asked for.
    fn hold(&mut self, now: Kept) -> Result<(), Stop> {
        let (name, file) = (now.name(), now.file_name());
        let on = now
            .series()
            .map(|series| format!(" on {series}"))
            .unwrap_or_default();
        let stale = if let Some(kept) = self.kept.get(&file) {
            self.compared.insert(file.clone());
            let differences = kept.differences(&now);
            let lines = differences.iter().map(|line| format!("{name}{on}: {line}"));
            self.changes.extend(lines);
            !differences.is_empty() || (now.level >= kept.level && now != *kept)
        } else {
            let elsewhere = |kept: &Kept| kept.name() == name;
            let line = format!("{name}{on}: no report of it is kept");
            if self.kept.values().any(elsewhere) && !self.update {
                // Another server is no change of what is promised on those that are there.
                self.notes.push(line);
            } else {
                self.changes.push(line);
            }
            true
        };
        if self.update && stale {
            std::fs::create_dir_all(self.folder)?;
            write(&self.folder.join(&file), &now.to_json()?)?;
            self.kept.insert(file, now);
        }
        Ok(())
    }

    /// Compares the marked tables of a file, and writes them where they differ and that was asked for.
    fn tables(&mut self, file: &Path, matrix: &Matrix) -> Result<(), Stop> {
        let text = read(file)?;
        let tables = [
            ("summary", matrix.summary()),
            ("runs", matrix.runs()),
            ("proofs", matrix.proofs()),
        ];
        let filled = marked::filled(&text, &tables).map_err(|error| told(file, error))?;
        if filled != text {
            self.changes
                .push(format!("{}: its tables are stale", file.display()));
            if self.update {
                write(file, &filled)?;
            }
        }
        Ok(())
    }
}

/// The files, and for each folder the `.json` files in it.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(|error| told(path, error))? {
            let file = entry.map_err(|error| told(path, error))?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn read(file: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(file).map_err(|error| told(file, error))
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    std::fs::write(file, text).map_err(|error| told(file, error))
}

fn told(file: &Path, error: impl std::fmt::Display) -> Stop {
    Stop::failure(format_args!("{}: {error}", file.display()))
}
