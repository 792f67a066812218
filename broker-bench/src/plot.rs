//! Bars: every library's figure for each piece of work, as an SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::results::{Contest, Row, Unit, Work};

/// The size of everything, in pixels.
const WIDTH: u32 = 860;
const MARGIN: i32 = 12;
const TITLE: i32 = 26;
const BAR: i32 = 18;
const NAME: i32 = 110;
const FIGURE: i32 = 190;

/// What is drawn for one library: its bar's colour.
fn colour(library: &str) -> RGBColor {
    match library {
        "raw" => RGBColor(140, 140, 140),
        "broker" => RGBColor(31, 119, 180),
        "sea-streamer" => RGBColor(44, 160, 140),
        "omniqueue" => RGBColor(200, 160, 60),
        "mq-bridge" => RGBColor(170, 110, 170),
        _ => RGBColor(205, 100, 80),
    }
}

/// Draws all pieces of work of one server, each on a scale of its own.
pub fn draw(contest: &Contest) -> Result<String> {
    let works: Vec<(&Work, Vec<&Row>)> = contest
        .works
        .iter()
        .map(|work| {
            (
                work,
                work.rows.iter().filter(|row| row.measured.is_some()).collect(),
            )
        })
        .collect();
    let lines: i32 = works
        .iter()
        .map(|(_, rows)| TITLE + MARGIN + BAR * i32::try_from(rows.len()).unwrap_or_default())
        .sum();
    let mut text = String::new();
    {
        let height = u32::try_from(lines + MARGIN)?;
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        let failed = |error| anyhow!("a plot can't be drawn: {error}");
        area.fill(&WHITE)
            .map_err(|error| anyhow!("a plot can't be drawn: {error}"))?;
        let mut y = MARGIN;
        for (work, rows) in works {
            let title = ("sans-serif", 15)
                .into_font()
                .style(FontStyle::Bold)
                .color(&BLACK);
            let heading = format!("{}{}", work.title, unit(work.unit));
            area.draw_text(&heading, &title, (MARGIN, y)).map_err(failed)?;
            y += TITLE;
            let most = rows
                .iter()
                .filter_map(|row| row.measured)
                .map(|of| of.quartiles.1.max(of.median))
                .fold(0.0, f64::max);
            for row in rows {
                draw_row(&area, y, row, work.unit, most)?;
                y += BAR;
            }
            y += MARGIN;
        }
        area.present()
            .map_err(|error| anyhow!("a plot can't be drawn: {error}"))?;
    }
    Ok(text)
}

/// One library: its name, its bar with the quartiles as a whisker, its figures.
fn draw_row<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    y: i32,
    row: &Row,
    unit: Unit,
    most: f64,
) -> Result<()>
where
    B::ErrorType: 'static,
{
    let failed = |error| anyhow!("a plot can't be drawn: {error}");
    let Some(measured) = row.measured else {
        return Ok(());
    };
    let plain = ("sans-serif", 13).into_font().color(&BLACK);
    let left = MARGIN + NAME;
    let room = f64::from(i32::try_from(WIDTH)? - left - FIGURE);
    let at = |value: f64| left + pixels(room * value / most);
    let bar = Rectangle::new(
        [(left, y), (at(measured.median), y + BAR - 4)],
        colour(&row.library).filled(),
    );
    area.draw_text(&row.library, &plain, (MARGIN, y + 1))
        .map_err(failed)?;
    area.draw(&bar).map_err(failed)?;
    let middle = y + BAR / 2 - 2;
    let whisker = [
        (at(measured.quartiles.0), middle),
        (at(measured.quartiles.1), middle),
    ];
    area.draw(&PathElement::new(whisker, BLACK.stroke_width(1)))
        .map_err(failed)?;
    let ratio = measured
        .ratio
        .map(|ratio| format!("  \u{d7} {ratio:.2}"))
        .unwrap_or_default();
    let figure = format!("{}{ratio}", figure(measured.median, unit));
    let beside = at(measured.median.max(measured.quartiles.1)) + 6;
    area.draw_text(&figure, &plain, (beside, y + 1)).map_err(failed)?;
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "a picture is smaller than that")]
fn pixels(length: f64) -> i32 {
    length.round() as i32
}

/// What is counted, behind a title.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => ", messages a second",
        Unit::Microseconds => ", microseconds (less is better)",
        Unit::Mebibytes => ", MiB (less is better)",
    }
}

/// A figure for people: three digits.
pub fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond if value >= 1e6 => format!("{} M", three(value / 1e6)),
        Unit::PerSecond if value >= 1e3 => format!("{} k", three(value / 1e3)),
        _ => three(value),
    }
}

fn three(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(figure(1_234_567.0, Unit::PerSecond), "1.23 M");
        assert_eq!(figure(45_670.0, Unit::PerSecond), "45.7 k");
        assert_eq!(figure(456.7, Unit::Microseconds), "457");
    }
}
