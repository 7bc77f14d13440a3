//! LATENCY GRAPH: a drawing of an event's samples in characters. (Redis: `sparkline.c`)

use crate::latency::Series;

const COLUMNS: usize = 80;
const ROWS: usize = 4;
/// The upper end of a bar, by the third of a row that it reaches.
const ENDS: [char; 3] = ['_', 'o', '#'];

/// Draws a bar for each sample, with its age below it.
pub fn draw(event: &str, series: &Series, now_s: i64) -> String {
    let times = || series.samples.iter().map(|sample| sample.ms);
    let (high, low) = (times().max().unwrap_or(0), times().min().unwrap_or(0));
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {} ms)\n", series.ms_max);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let bars: Vec<(usize, String)> = series
        .samples
        .iter()
        .map(|sample| (steps(sample.ms, low, high), age((now_s - sample.time_s).max(0))))
        .collect();
    for (index, part) in bars.chunks(COLUMNS).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        draw_part(part, &mut text);
    }
    text
}

/// The height of a bar, in thirds of a row.
fn steps(ms: u64, low: u64, high: u64) -> usize {
    let thirds = ENDS.len() * ROWS;
    let range = (high - low).max(1) as u128;
    ((u128::from(ms - low) * thirds as u128 / range) as usize).min(thirds - 1)
}

fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn draw_part(bars: &[(usize, String)], text: &mut String) {
    for row in (0..ROWS).rev() {
        text.extend(bars.iter().map(|&(steps, _)| match steps.checked_sub(row * ENDS.len()) {
            None => ' ',
            Some(above) => ENDS.get(above).copied().unwrap_or('|'),
        }));
        text.push('\n');
    }
    text.push_str(&" ".repeat(bars.len()));
    text.push('\n');
    // The ages are written downward.
    let longest = bars.iter().map(|(_, age)| age.len()).max().unwrap_or(0);
    for line in 0..longest {
        text.extend(bars.iter().map(|(_, age)| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn a_drawing_is_that_of_redis() {
        let samples = [Sample { time_s: 99, ms: 20 }, Sample { time_s: 100, ms: 50 }];
        let series = Series { samples: samples.into(), ms_max: 50 };
        let lines = ["command - high 50 ms, low 20 ms (all time high 50 ms)", &"-".repeat(80)];
        let drawing = " #\n |\n |\n_|\n  \n10\nss\n";
        assert_eq!(draw("command", &series, 100), format!("{}\n{drawing}", lines.join("\n")));
    }
}
