//! How far long work is, told to whoever watches it: `done` of `total`, in units of the work's own.

use std::io::{self, Read};

/// Called often; a total is an estimate.
pub type Watcher<'w> = &'w mut dyn FnMut(u64, u64);

/// For work that nobody watches.
pub fn unwatched(_: u64, _: u64) {}

/// Part `number` (from 0) of work in `of` equal parts, told as of the whole.
pub fn part(watcher: Watcher<'_>, number: u64, of: u64) -> impl FnMut(u64, u64) {
    move |done, total| {
        let within = match total {
            0 => PART,
            total => (u128::from(done.min(total)) * u128::from(PART) / u128::from(total)) as u64,
        };
        watcher(number * PART + within, of * PART);
    }
}

const PART: u64 = 1_000_000;

/// Bytes that are told as they are read.
pub struct WatchedRead<'w, R> {
    input: R,
    done: u64,
    total: u64,
    watcher: Watcher<'w>,
}

impl<'w, R> WatchedRead<'w, R> {
    pub fn new(input: R, total: u64, watcher: Watcher<'w>) -> Self {
        Self { input, done: 0, total, watcher }
    }
}

impl<R: Read> Read for WatchedRead<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.done += count as u64;
        (self.watcher)(self.done, self.total);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let mut told = Vec::new();
        let mut watcher = |done: u64, total: u64| told.push(done * 100 / total);
        for number in 0..4 {
            let mut part = part(&mut watcher, number, 4);
            part(0, 8);
            part(4, 8);
            // A total that was too small, and one that is nothing.
            part(u64::MAX, 8);
            part(0, 0);
        }
        assert_eq!(told, [0, 12, 25, 25, 25, 37, 50, 50, 50, 62, 75, 75, 75, 87, 100, 100]);
    }

    #[test]
    fn what_is_read_is_told_up_to_the_end() {
        let mut told = Vec::new();
        let mut watcher = |done, total| told.push((done, total));
        let mut read = WatchedRead::new(&[7; 10][..], 10, &mut watcher);
        let mut into = [0; 6];
        while read.read(&mut into).unwrap() > 0 {}
        assert_eq!(told, [(6, 10), (10, 10), (10, 10)]);
    }
}
