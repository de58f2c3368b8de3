//! Order statistics and the order of things.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sorts, and picks; not a number of nothing.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => values[((n - 1) as f64 * q).round() as usize],
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How busy others keep the machine: on a busy one the ratios drift, since those that
/// run more processes wait more often for a processor.
pub struct Others {
    busy: f64,
    all: f64,
    ours: f64,
}

impl Others {
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let all: f64 = ticks.iter().take(8).sum();
        let idle: f64 = ticks.iter().skip(3).take(2).sum();
        // A tick is 10 ms wherever Linux shows one to programs.
        Self { busy: all - idle, all, ours: 100.0 * super::sys::children_cpu() }
    }

    pub fn percent_since(&self) -> f64 {
        let now = Self::now();
        let others = (now.busy - self.busy) - (now.ours - self.ours);
        (100.0 * others / (now.all - self.all)).max(0.0)
    }
}

/// xorshift64: a fair order of launches needs no more.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(now.as_nanos() as u64 | 1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(i, (self.0 % (i as u64 + 1)) as usize);
        }
    }
}
