//! Where the processes of a torture run write.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::clock::Moment;
use super::incident::Incident;

/// Where the processes of a torture run write: a folder that goes with the run, unless it is to be kept.
pub(super) struct Folder {
    path: PathBuf,
    /// Removes the folder when it is dropped.
    passing: Option<tempfile::TempDir>,
}

impl Folder {
    /// Makes the folder `keep`, or else one that goes with the run.
    pub(super) fn make(keep: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = keep {
            std::fs::create_dir_all(path)?;
            if std::fs::read_dir(path)?.next().is_some() {
                let text = format!("{} is not empty; name a new folder", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            let path = path.to_owned();
            return Ok(Self { path, passing: None });
        }
        let passing = tempfile::Builder::new().prefix("broker-torture-").tempdir()?;
        Ok(Self {
            path: passing.path().to_owned(),
            passing: Some(passing),
        })
    }

    /// The journal of a process.
    pub(super) fn journal(&self, process: usize) -> PathBuf {
        self.path.join(format!("member-{process}.journal"))
    }

    /// What a process wrote on its standard error.
    pub(super) fn errors(&self, process: usize) -> PathBuf {
        self.path.join(format!("member-{process}.errors"))
    }

    /// Writes the faults down beside the journals, if these are kept.
    pub(super) fn note(&self, incidents: &[Incident]) -> io::Result<()> {
        if self.passing.is_some() {
            return Ok(());
        }
        // The journals have the machine's clock, logs have the time of day.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let day = since.map_or(0, |since| since.as_micros());
        let mut lines = format!("{} is {day} since 1970, in microseconds\n", Moment::now().0);
        for incident in incidents {
            let fault = incident.fault.as_str();
            let process = incident
                .process
                .map_or(String::new(), |process| format!(" {process}"));
            let _ = writeln!(
                lines,
                "{} {} {fault}{process}",
                incident.began.0, incident.ended.0
            );
        }
        std::fs::write(self.path.join("faults"), lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::Fault;

    #[test]
    fn what_is_kept_has_the_faults_and_is_written_over_by_nobody() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("kept");
        let folder = Folder::make(Some(&path)).unwrap();
        let killed = Incident {
            fault: Fault::ConsumerKilled,
            began: Moment(1),
            ended: Moment(2),
            process: Some(7),
        };
        folder.note(&[killed]).unwrap();
        drop(folder);
        let told = std::fs::read_to_string(path.join("faults")).unwrap();
        assert!(told.ends_with("\n1 2 consumer killed 7\n"), "{told}");
        let refused = Folder::make(Some(&path)).map(|_| ()).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("kept is not empty; name a new folder"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_not_kept_goes_with_the_run() {
        let folder = Folder::make(None).unwrap();
        let journal = folder.journal(0);
        std::fs::write(&journal, "").unwrap();
        drop(folder);
        assert!(!journal.exists());
    }
}
