//! `${NAME}` and `${NAME|default}` in configuration values.

use toml::Value;

use crate::values::{Error, Result};

/// Replaces the variables in every text below `value`, in one pass: what is put in is not read again.
///
/// `$${` is a literal `${`. `place` names the value in errors.
pub(super) fn interpolate(
    value: &mut Value,
    place: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    match value {
        Value::String(text) => {
            if text.contains("${") {
                *text = expand(text, place, lookup)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate(item, &format!("{place}[{index}]"), lookup)?;
            }
        }
        Value::Table(table) => {
            for (key, item) in table.iter_mut() {
                interpolate(item, &format!("{place}.{key}"), lookup)?;
            }
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
    Ok(())
}

fn expand(text: &str, place: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let after = from.get(2..).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('$') {
            expanded.push_str(literal);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let Some((inner, tail)) = after.split_once('}') else {
            return Err(Error::config(
                place,
                "`${` has no closing `}`; close it, or write `$${` for the text itself",
            ));
        };
        let (name, default) = match inner.split_once('|') {
            Some((name, default)) => (name.trim(), Some(default)),
            None => (inner.trim(), None),
        };
        if name.is_empty() {
            return Err(Error::config(
                place,
                "`${}` names no variable; write `${NAME}` or `${NAME|default}`",
            ));
        }
        match (lookup(name), default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                return Err(Error::config(
                    place,
                    format!("variable {name} is not set; set it, or write `${{{name}|default}}`"),
                ));
            }
        }
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_home(text: &str) -> Result<String> {
        expand(text, "f: k", &|name| (name == "HOME").then(|| "${X}".to_owned()))
    }

    #[test]
    fn one_pass_with_defaults_and_literals() {
        assert_eq!(with_home("a ${HOME} b").unwrap(), "a ${X} b");
        assert_eq!(with_home("${NONE|redis://h:1/0}").unwrap(), "redis://h:1/0");
        assert_eq!(with_home("$${HOME} $5").unwrap(), "${HOME} $5");
        assert_eq!(
            with_home("${NONE}").unwrap_err().to_string(),
            "config: f: k: variable NONE is not set; set it, or write `${NONE|default}`"
        );
    }

    proptest! {
        #[test]
        fn any_text_expands_or_is_one_clear_line(text in ".*") {
            if let Err(error) = with_home(&text) {
                prop_assert!(error.to_string().starts_with("config: f: k: "));
            }
        }

        #[test]
        fn text_without_variables_stays(text in "[^$]*") {
            prop_assert_eq!(with_home(&text).unwrap(), text);
        }
    }
}
