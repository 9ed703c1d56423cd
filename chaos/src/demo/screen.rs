//! What the demonstration prints.

use std::time::{Duration, Instant};

/// Steps with their times, then a summary.
pub(super) struct Screen {
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), done: Vec::new() }
    }

    /// Carries out one step and prints its facts, which `work` returns, or why it failed.
    pub(super) async fn step(
        &mut self,
        title: &str,
        work: impl Future<Output = anyhow::Result<Vec<String>>>,
    ) -> anyhow::Result<()> {
        let number = self.done.len() + 1;
        println!("{:>6.1} s  {number}. {title}", self.started.elapsed().as_secs_f64());
        let begun = Instant::now();
        let outcome = work.await;
        let took = begun.elapsed();
        match outcome {
            Ok(facts) => {
                for fact in facts {
                    println!("             {fact}");
                }
                println!("             done in {:.1} s", took.as_secs_f64());
                self.done.push((title.to_owned(), took));
                Ok(())
            }
            Err(error) => {
                println!("             FAILED after {:.1} s", took.as_secs_f64());
                Err(error.context(format!("step {number}, {title}")))
            }
        }
    }

    pub(super) fn summary(&self) {
        println!();
        for (at, (title, took)) in self.done.iter().enumerate() {
            println!("  {}. {title:<64} {:>5.1} s", at + 1, took.as_secs_f64());
        }
        let all = format!("all {} steps succeeded", self.done.len());
        println!("  {all:<67} {:>5.1} s", self.started.elapsed().as_secs_f64());
    }
}
