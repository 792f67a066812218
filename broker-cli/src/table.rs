//! Text in columns.

use std::fmt;

/// Rows of cells, written in aligned columns.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    /// A table of names and values, without headings.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// Appends a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Text as it may be shown on a terminal: control characters are escaped, whoever sent them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text
            .chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default());
                let plain = (!c.is_control()).then_some(c);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect(),
        Err(_) => format!("<{} bytes>", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["GROUP", "LAG"]);
        table.row(["a-long-name".to_owned(), "1".to_owned()]);
        table.row(["é".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "GROUP        LAG\na-long-name  1\né\n");
    }

    #[test]
    fn a_payload_can_not_steer_the_terminal() {
        assert_eq!(shown("é\u{1b}[2J\n".as_bytes()), "é\\u{1b}[2J\\n");
        assert_eq!(shown(&[0xff, 0]), "<2 bytes>");
    }
}
