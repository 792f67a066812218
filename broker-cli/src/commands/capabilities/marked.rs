//! The marked places of a text in Markdown.

/// Before a table's name; the name and ` -->` follow.
const BEGIN: &str = "<!-- capabilities: ";

const END: &str = "<!-- capabilities end -->";

/// The text with each marked place filled by the table of its name.
pub(super) fn filled(text: &str, tables: &[(&str, String)]) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after
            .split_once(" -->")
            .ok_or_else(|| format!("`{BEGIN}` has no ` -->`"))?;
        let names = || {
            tables
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (_, table) = tables
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("no table is called `{name}`; there are {}", names()))?;
        let (_, after) = after
            .split_once(END)
            .ok_or_else(|| format!("the place for `{name}` has no `{END}`"))?;
        filled.extend([before, BEGIN, name, " -->\n\n", table.trim_end(), "\n\n", END]);
        rest = after;
    }
    if filled.is_empty() {
        return Err(format!(
            "there is no place for a table, such as `{BEGIN}summary -->` and `{END}`"
        ));
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n\n<!-- capabilities: one -->\nold\n<!-- capabilities end -->\n\nB\n";

    fn fill(text: &str) -> Result<String, String> {
        filled(
            text,
            &[("one", "| 1 |\n".to_owned()), ("two", "| 2 |".to_owned())],
        )
    }

    #[test]
    fn only_the_marked_place_changes_and_only_once() {
        let once = fill(TEXT).unwrap();
        assert_eq!(
            once,
            "# A\n\n<!-- capabilities: one -->\n\n| 1 |\n\n<!-- capabilities end -->\n\nB\n"
        );
        assert_eq!(fill(&once).unwrap(), once);
        let both = fill(&TEXT.repeat(2).replacen("one", "two", 1)).unwrap();
        assert!(both.contains("| 1 |") && both.contains("| 2 |"), "{both}");
    }

    #[test]
    fn a_place_that_is_none_is_told() {
        let said = |text: &str| fill(text).unwrap_err();
        assert!(said("# A\n").starts_with("there is no place for a table"));
        assert_eq!(
            said(&TEXT.replace("one", "three")),
            "no table is called `three`; there are one, two"
        );
        assert!(said(&TEXT.replace(" end", "")).starts_with("the place for `one` has no"));
    }
}
