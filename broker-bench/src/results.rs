//! What a run beside other libraries found, as it is stored and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that is stored: the newest run of each part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Where it was measured.
    pub machine: Machine,
    /// The versions of the libraries and clients, by name.
    pub versions: BTreeMap<String, String>,
    /// One for each server, in the order of the page.
    pub contests: Vec<Contest>,
    /// What building with each library takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<Build>,
}

/// The machine, without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's own description.
    pub processor: String,
    /// How many of it the run could use, the server included.
    pub cores: usize,
    /// Gibibytes of memory.
    pub memory: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The compiler.
    pub compiler: String,
}

/// What was measured on one server, all libraries in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contest {
    /// Its name on the command line.
    pub server: String,
    /// The server and its version; nothing in process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the raw client is.
    pub raw: String,
    /// Rounds that count.
    pub rounds: usize,
    /// The pieces of work.
    pub works: Vec<Work>,
}

/// One piece of work by every library.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Its name on the command line.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// What is counted.
    pub unit: Unit,
    /// One for each library, the raw client first.
    pub rows: Vec<Row>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Messages a second.
    PerSecond,
    /// Microseconds for each message.
    Microseconds,
    /// Mebibytes at most.
    Mebibytes,
}

impl Unit {
    /// Whether the larger figure is the better one.
    pub fn more_is_better(self) -> bool {
        self == Self::PerSecond
    }
}

/// What one library did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its name; `raw` is the client underneath.
    pub library: String,
    /// What was measured; nothing where the library can't do the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Where its work is not quite the same, or why it can't do it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
}

/// The figures of one library.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The median of the rounds.
    pub median: f64,
    /// The first and the third quartile of the rounds.
    pub quartiles: (f64, f64),
    /// The median of the ratios to the raw client within each round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

impl Measured {
    /// Sums up the rounds of one library, beside the raw client's where it has some.
    pub fn of(own: &[f64], raw: Option<&[f64]>) -> Self {
        let ratio = raw.map(|raw| {
            let ratios = own.iter().zip(raw).map(|(own, raw)| own / raw).collect();
            quantile(ratios, 0.5)
        });
        Self {
            median: digits(quantile(own.to_vec(), 0.5)),
            quartiles: (
                digits(quantile(own.to_vec(), 0.25)),
                digits(quantile(own.to_vec(), 0.75)),
            ),
            ratio: ratio.map(|ratio| (ratio * 1000.0).round() / 1000.0),
        }
    }
}

/// What a release build of a small program with one library takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Its name.
    pub library: String,
    /// What it is built for.
    pub server: String,
    /// How many crates are built.
    pub crates: usize,
    /// Seconds from nothing, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// The value below which `share` of the values are, between two of them where it falls so.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = share * values.len().saturating_sub(1) as f64;
    let at = |place: f64| {
        let nearest = values
            .iter()
            .enumerate()
            .find(|(index, _)| *index as f64 >= place);
        nearest.map_or(f64::NAN, |(_, value)| *value)
    };
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

/// Four digits: more is noise, and makes the stored file restless.
fn digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles_are_between_the_values() {
        let measured = Measured::of(&[4.0, 1.0, 2.0, 3.0, 5.0], Some(&[8.0, 2.0, 4.0, 6.0, 5.0]));
        assert_eq!(measured.median, 3.0);
        assert_eq!(measured.quartiles, (2.0, 4.0));
        assert_eq!(measured.ratio, Some(0.5));
        assert_eq!(Measured::of(&[1.0, 2.0], None).median, 1.5);
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(digits(123_456.0), 123_500.0);
        assert_eq!(digits(0.012_345_6), 0.01235);
        assert_eq!(digits(0.0), 0.0);
    }
}
