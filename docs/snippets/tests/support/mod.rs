//! The book's pages, taken apart.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

/// One page, with what it includes put in.
pub(crate) struct Page {
    /// Its path below `docs/src`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced piece of a page.
pub(crate) struct Block<'a> {
    /// What stands behind the opening fence, such as `console,no_run`.
    pub(crate) info: &'a str,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// `docs/src`.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")
}

/// Every page of the book, by name.
pub(crate) fn pages() -> Vec<Page> {
    let mut files = Vec::new();
    collect(&sources(), &mut files);
    files.sort();
    let mut pages = Vec::new();
    for file in files {
        let name = file.strip_prefix(sources()).unwrap().display().to_string();
        let text = expanded(&file);
        pages.push(Page { name, text });
    }
    assert!(pages.len() > 20, "the book was not found");
    pages
}

impl Page {
    /// Its fenced pieces whose information begins with one of `languages`.
    pub(crate) fn blocks<'a>(&'a self, languages: &[&str]) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block<'a>> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some(Block {
                        info,
                        line: index + 1,
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.name);
        blocks.retain(|block| {
            languages
                .iter()
                .any(|language| block.info.split(',').next() == Some(language))
        });
        blocks
    }

    /// The place of a block, for whoever has to mend it.
    pub(crate) fn place(&self, block: &Block<'_>) -> String {
        format!("docs/src/{}:{}", self.name, block.line)
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
}

/// The text of a page, with mdBook's includes put in as mdBook does.
fn expanded(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let mut expanded = String::new();
    for line in text.lines() {
        match line
            .strip_prefix("{{#include ")
            .and_then(|rest| rest.strip_suffix("}}"))
        {
            Some(included) => {
                let (path, anchor) = included.split_once(':').unwrap_or((included, ""));
                let included = fs::read_to_string(file.parent().unwrap().join(path))
                    .unwrap_or_else(|error| panic!("{}: {path}: {error}", file.display()));
                expanded.push_str(&part(&included, anchor));
            }
            None => expanded.push_str(line),
        }
        expanded.push('\n');
    }
    expanded
}

/// What stands between an anchor's marks; the whole, without an anchor.
fn part(text: &str, anchor: &str) -> String {
    if anchor.is_empty() {
        return text.to_owned();
    }
    let (begin, end) = (format!("ANCHOR: {anchor} "), format!("ANCHOR_END: {anchor} "));
    let lines = text
        .lines()
        .skip_while(|line| !line.contains(&begin))
        .skip(1)
        .take_while(|line| !line.contains(&end));
    let part: String = lines.flat_map(|line| [line, "\n"]).collect();
    assert!(!part.is_empty(), "there is no anchor {anchor}");
    part
}
