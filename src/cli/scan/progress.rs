//! The progress of a scan, on a terminal.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output;

const BAR: &str = "{msg} {wide_bar} {human_pos} of {human_len}";
const SPINNER: &str = "{spinner} {msg}";
const TICK: Duration = Duration::from_millis(120);

pub struct Progress(ProgressBar);

impl Progress {
    /// `streams`: data is printed meanwhile, and must not mix with the progress on one terminal.
    pub fn new(streams: bool) -> Self {
        let is_mixed = streams && stdout().is_terminal();
        // It stays hidden if standard error is not a terminal.
        let target =
            if is_mixed || output::is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub fn show(&self, what: &str, done: usize, remaining: Option<usize>) {
        let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        match remaining {
            Some(remaining) => {
                self.0.set_style(style(BAR));
                self.0.set_length((done + remaining) as u64);
                self.0.set_position(done as u64);
                self.0.set_message(what.to_owned());
            }
            None => {
                self.0.set_style(style(SPINNER));
                self.0.set_message(format!("{what}: {}", HumanCount(done as u64)));
            }
        }
    }

    /// Hides the progress while `talk` prints.
    pub fn pause(&self, talk: impl FnOnce()) {
        self.0.suspend(talk);
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}
