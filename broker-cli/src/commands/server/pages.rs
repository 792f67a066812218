//! The pages of several workers as one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Joins the workers' pages for Prometheus: each sample gets its worker's number as a label, and the samples of one metric
/// stand together.
pub(super) fn join<'a>(pages: impl Iterator<Item = (u16, &'a str)>) -> String {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    for (worker, page) in pages {
        let mut name = "";
        for line in page.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP" | "TYPE"), Some(metric)) => {
                    name = metric;
                    let headers = &mut families.entry(name).or_default().headers;
                    if !headers.contains(&line) {
                        headers.push(line);
                    }
                }
                _ if line.is_empty() => {}
                _ => families
                    .entry(name)
                    .or_default()
                    .samples
                    .push(labelled(line, worker)),
            }
        }
    }
    let mut joined = String::new();
    for family in families.into_values() {
        for line in family
            .headers
            .into_iter()
            .chain(family.samples.iter().map(String::as_str))
        {
            // Writing into a string does not fail.
            let _ = writeln!(joined, "{line}");
        }
    }
    joined
}

#[derive(Default)]
struct Family<'a> {
    headers: Vec<&'a str>,
    samples: Vec<String>,
}

fn labelled(sample: &str, worker: u16) -> String {
    match (sample.split_once('{'), sample.split_once(' ')) {
        (Some((name, rest)), _) => format!("{name}{{worker=\"{worker}\",{rest}"),
        (None, Some((name, value))) => format!("{name}{{worker=\"{worker}\"}} {value}"),
        (None, None) => sample.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn samples_of_one_metric_stand_together_under_one_header() {
        let page = "# TYPE up gauge\nup 1\n\n# TYPE done counter\ndone{group=\"a b\"} 3\n";
        let joined = super::join([(1, page), (2, page)].into_iter());
        let expected = "# TYPE done counter\ndone{worker=\"1\",group=\"a b\"} 3\ndone{worker=\"2\",group=\"a b\"} 3\n\
                        # TYPE up gauge\nup{worker=\"1\"} 1\nup{worker=\"2\"} 1\n";
        assert_eq!(joined, expected);
    }
}
