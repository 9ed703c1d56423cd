//! A wall clock that can be set wrong while its processes run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::preload::Preload;

/// The wall clock of one process, or of several.
pub struct WallClock {
    preload: Preload,
    /// Holds how far it is ahead; mapped by them.
    file: File,
}

/// How far a clock is from the right time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

impl WallClock {
    /// Compiles the library into `dir`. The clock is right until it is set.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("clock");
        std::fs::write(&path, 0_i64.to_ne_bytes())?;
        let variables = vec![("STEEPLE_CLOCK_FILE".to_owned(), path.to_string_lossy().into_owned())];
        let preload = Preload::compile(dir, "wall_clock", SOURCE, variables)?;
        Ok(Self { preload, file: File::options().write(true).open(path)? })
    }

    /// For the processes whose clock this is.
    pub fn preload(&self) -> &Preload {
        &self.preload
    }

    pub fn set(&self, offset: Offset) -> io::Result<()> {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let ahead_ms = match offset {
            Offset::Ahead(by) => millis(by),
            Offset::Behind(by) => -millis(by),
        };
        self.file.write_all_at(&ahead_ms.to_ne_bytes(), 0)
    }

    pub fn set_right(&self) -> io::Result<()> {
        self.set(Offset::Ahead(Duration::ZERO))
    }
}

const SOURCE: &str = include_str!("wall_clock.c");

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::SystemTime;

    use super::super::preload::{compile_program, preload_env};
    use super::*;

    /// Prints the wall time in seconds, after a wait of ten milliseconds of wall time.
    const TELLS_TIME: &str = r#"
        #include <pthread.h>
        #include <stdio.h>
        #include <sys/time.h>
        #include <time.h>
        int main(void) {
            pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
            pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 10000000;
            if (until.tv_nsec >= 1000000000) { until.tv_nsec -= 1000000000; until.tv_sec++; }
            pthread_mutex_lock(&mutex);
            while (pthread_cond_timedwait(&condition, &mutex, &until) == 0) {}
            struct timeval now;
            gettimeofday(&now, NULL);
            printf("%ld %ld\n", (long)now.tv_sec, (long)time(NULL));
            return 0;
        }
    "#;

    #[test]
    fn a_process_lives_in_the_time_that_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let clock = WallClock::new(dir.path()).unwrap();
        let program = compile_program(dir.path(), "program", TELLS_TIME).unwrap();
        const HOUR: u64 = 3600;
        let told = || {
            let output = Command::new(&program).envs(preload_env(&[clock.preload()])).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let times: Vec<u64> = text.split_whitespace().map(|time| time.parse().unwrap()).collect();
            assert!(times[0].abs_diff(times[1]) <= 1, "{times:?}");
            times[0]
        };
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let hours_ahead = |told: u64| (told as f64 - now() as f64) / HOUR as f64;
        // A machine that is slow is a minute late, not an hour.
        assert!(hours_ahead(told()).abs() < 0.1);
        clock.set(Offset::Ahead(Duration::from_secs(HOUR))).unwrap();
        assert!((hours_ahead(told()) - 1.0).abs() < 0.1);
        clock.set(Offset::Behind(Duration::from_secs(365 * 24 * HOUR))).unwrap();
        assert!((hours_ahead(told()) + 365.0 * 24.0).abs() < 0.1);
        clock.set_right().unwrap();
        assert!(hours_ahead(told()).abs() < 0.1);
    }
}
