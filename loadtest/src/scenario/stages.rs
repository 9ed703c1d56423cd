//! Most scenarios have two stages: as much as the server can, then half of that at random times.

use std::time::Duration;

use anyhow::ensure;

use crate::load::{Offer, closed_loop, open_loop};
use crate::report::{Reading, Report, Window};
use crate::target::Target;

/// What is called, how often at one time, and what one call is worth.
pub(super) struct Stages {
    /// Of what is made, in the plural.
    pub(super) noun: &'static str,
    /// What one call makes.
    pub(super) batch: usize,
    pub(super) outstanding: usize,
    pub(super) duration: Duration,
    pub(super) seed: u64,
}

impl Stages {
    /// `call` gets the number of the client and of the call.
    pub(super) async fn run<C, F>(&self, target: &Target, report: &mut Report, call: C) -> anyhow::Result<()>
    where
        C: Fn(usize, u64) -> F + Clone + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let per_second = self.saturated(target, report, call.clone()).await?;
        self.half(target, report, per_second / 2.0, call).await
    }

    /// Returns the calls a second.
    pub(super) async fn saturated<C, F>(&self, target: &Target, report: &mut Report, call: C) -> anyhow::Result<f64>
    where
        C: Fn(usize, u64) -> F + Clone + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let noun = self.noun;
        target.progress.step(format!("{noun}: {} calls open for {:?}", self.outstanding, self.duration), 0);
        let clients = (0..self.outstanding).map(|client| {
            let call = call.clone();
            move |number| call(client, number)
        });
        let window = Window::open("saturated", target.pids())?;
        let done = closed_loop(clients.collect(), self.duration).await?;
        let usage = window.close()?;
        let made = done.calls as f64 * self.batch as f64;
        report.readings.push(Reading::more(format!("{noun}, saturated"), usage.per_cpu_second(made), "a CPU-second"));
        report.readings.push(Reading::more(format!("{noun}, saturated, wall rate"), made / done.seconds, "a second"));
        report.readings.extend(Reading::latencies("  a call among all that are open", done.latency.quantiles()));
        report.windows.push(usage);
        Ok(done.per_second())
    }

    async fn half<C, F>(&self, target: &Target, report: &mut Report, per_second: f64, call: C) -> anyhow::Result<()>
    where
        C: Fn(usize, u64) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let noun = self.noun;
        target.progress.step(format!("{noun}: {per_second:.0} calls a second for {:?}", self.duration), 0);
        let offer = Offer { per_second, duration: self.duration, deadline: DEADLINE, seed: self.seed };
        let window = Window::open("half load", target.pids())?;
        let answered = open_loop(offer, |number| call(number as usize, number)).await?;
        let usage = window.close()?;
        ensure!(answered.failed.is_empty(), "calls failed at half of the load: {:?}", answered.failed);
        let made = answered.succeeded() as f64 * self.batch as f64;
        report.readings.push(Reading::more(format!("{noun}, half load"), usage.per_cpu_second(made), "a CPU-second"));
        report
            .readings
            .extend(Reading::latencies("  a call at half load, from its intended time", answered.latency.quantiles()));
        report.windows.push(usage);
        Ok(())
    }
}

const DEADLINE: Duration = Duration::from_secs(10);
