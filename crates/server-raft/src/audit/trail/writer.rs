//! The thread that writes: it alone knows the head of the chain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use steeple_config::AuditSettings;
use steeple_core::{Clock, system_words};
use steeple_telemetry::log::Fields;
use tokio::sync::{mpsc, watch};

use super::files::Files;
use super::{Answer, Job, Position, Progress, Shared, Unwritten};
use crate::audit::chain::{Event, Head, Resume, Stamp, Torn, bounded, gap, resume};
use crate::metrics;

pub(super) struct Writer {
    files: Files,
    size_max: Option<u64>,
    keep: usize,
    position: Box<dyn Position>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    progress: watch::Sender<Progress>,
    /// `None`: the end of the file has to be looked at before anything is written.
    head: Option<Head>,
    /// Events that stand before the next record.
    due: Vec<Event>,
    /// The file's last line has no line feed.
    is_open: bool,
    /// Records that could not be written and of which the chain says nothing yet.
    lost: u64,
    dropped: Option<(u64, u64)>,
    /// The size at which the next new file is tried.
    rotate_at: u64,
    is_failing: bool,
    said_that_rotation_fails: bool,
}

/// What is written at once.
#[derive(Default)]
struct Batch {
    records: Vec<Fields>,
    answers: Vec<Answer<()>>,
    /// Of `records`: those that nobody waits for.
    unattended: u64,
}

impl Writer {
    pub(super) fn new(
        files: Files,
        settings: &AuditSettings,
        position: Box<dyn Position>,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            size_max: settings.size_max,
            keep: settings.keep,
            rotate_at: settings.size_max.unwrap_or(u64::MAX),
            files,
            position,
            clock,
            shared,
            progress,
            head: None,
            due: vec![Event::Opened],
            is_open: false,
            lost: 0,
            dropped: None,
            is_failing: false,
            said_that_rotation_fails: false,
        }
    }

    /// Ends when every [`super::Trail`] is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        self.dropped = self.files.dropped();
        self.look_at_all_files();
        self.write(Batch::default());
        while let Some(first) = queue.blocking_recv() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Put { records, answer } => batch.add(records, answer),
                    Job::Head { ends, answer } => {
                        self.write(std::mem::take(&mut batch));
                        // Nobody waits for it any more where this fails.
                        let _ = answer.send(self.settle(ends));
                    }
                    Job::Reopen => {
                        self.write(std::mem::take(&mut batch));
                        self.reopen();
                    }
                }
                if batch.records.len() < BATCH_RECORDS_MAX {
                    next = queue.try_recv().ok();
                }
            }
            self.write(batch);
        }
        let _ = self.files.sync();
    }

    /// All of it, or nothing and a word about it.
    fn write(&mut self, batch: Batch) {
        let lost_in_queue = self.shared.lost.swap(0, Ordering::Relaxed);
        self.lost += lost_in_queue;
        let Batch { records, answers, unattended } = batch;
        let count = records.len() as u64;
        match self.try_write(records, !answers.is_empty()) {
            Ok((written, bytes)) => {
                metrics::audit_written(written, bytes);
                if written > 0 {
                    self.works_again();
                    self.progress.send_modify(|progress| progress.records += written);
                }
                answers.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
                self.rotate_if_full();
            }
            Err(error) => {
                let why = system_words(&error);
                self.fails(&why);
                metrics::audit_failed(count);
                self.lost += unattended;
                let unwritten = Unwritten { path: self.files.path().to_owned(), why: told(&error, &why) };
                answers.into_iter().for_each(|answer| drop(answer.send(Err(unwritten.clone()))));
            }
        }
    }

    /// Returns how many records were written, those of the chain itself included, and their bytes.
    fn try_write(&mut self, records: Vec<Fields>, durable: bool) -> io::Result<(u64, u64)> {
        if self.head.is_none() {
            self.look_at_the_end()?;
        }
        let Some(head) = &self.head else { return Err(io::Error::other("the chain has no head")) };
        let mut head = head.clone();
        let before = head.sequence;
        let (index, term) = self.position.index_and_term();
        let stamp = Stamp { at: self.clock.now(), index, term };
        let lost = Some(Event::Lost { records: self.lost }).filter(|_| self.lost > 0);
        let mut lines = if self.is_open { b"\n".to_vec() } else { Vec::new() };
        let events = self.due.iter().chain(&lost).map(Event::fields);
        for fields in events.chain(records) {
            head.append(stamp, &bounded(fields), &mut lines);
        }
        if lines.is_empty() {
            return Ok((0, 0));
        }
        if let Err((error, is_undone)) = self.files.append(&lines) {
            if !is_undone {
                self.head = None;
            }
            return Err(error);
        }
        if durable && let Err(error) = self.files.sync() {
            // What the disk holds now, nobody knows: the lines may be there, and may not be told of.
            self.head = None;
            return Err(error);
        }
        let written = head.sequence - before;
        self.head = Some(head);
        self.due.clear();
        self.is_open = false;
        self.lost = 0;
        Ok((written, lines.len() as u64))
    }

    /// At the start, and after a failure that leaves the end of the file in doubt.
    fn look_at_the_end(&mut self) -> io::Result<()> {
        if !self.files.has_its_name() {
            let was_deleted = self.files.is_deleted();
            self.files.reopen()?;
            self.count_deleted(was_deleted);
        }
        let end = self.files.end()?;
        let torn = Some(Torn::of(&end.torn)).filter(|torn| torn.bytes > 0);
        if let Some(torn) = torn {
            tracing::warn!(bytes = torn.bytes, "the last audit record was cut off by a crash");
        }
        let anchor = self.position.anchor();
        match resume(&end.tail, self.position.node_id(), anchor.as_ref(), self.clock.now()) {
            Resume::Continue(head) => {
                self.head = Some(head);
                // Right behind what it speaks of.
                torn.into_iter().for_each(|torn| self.due.insert(0, Event::Torn(torn)));
            }
            Resume::Begin { head, reason, is_break } => {
                if is_break {
                    self.broken(&reason);
                }
                self.head = Some(head);
                self.due.retain(|event| {
                    !matches!(event, Event::Opened | Event::Torn(_) | Event::Begun { .. } | Event::BegunAnew(_))
                });
                self.due.insert(0, Event::Begun { reason, torn });
                // Its first chain: nobody has been told yet.
                if let Some(beginning) = self.position.beginning().filter(|_| anchor.is_none()) {
                    self.due.insert(1, Event::BegunAnew(beginning));
                }
            }
        }
        self.is_open = end.is_open;
        Ok(())
    }

    /// All that was written is on disk.
    fn settle(&mut self, ends: bool) -> Result<Head, Unwritten> {
        if !self.files.has_its_name() {
            tracing::error!(path = %self.files.path().display(), "the audit file was moved or deleted");
            self.reopen();
        }
        if ends {
            self.due.push(Event::Stopped);
            self.write(Batch::default());
        }
        let settled = self.files.sync().and_then(|()| self.head.clone().ok_or_else(|| io::Error::other("not written")));
        settled.map_err(|error| {
            let why = system_words(&error);
            self.fails(&why);
            Unwritten { path: self.files.path().to_owned(), why }
        })
    }

    fn reopen(&mut self) {
        // What is in the old file stays there.
        let _ = self.files.sync();
        let was_deleted = self.files.is_deleted();
        match self.files.reopen() {
            Ok(false) => {}
            Ok(true) => {
                if self.files.length() > 0 {
                    // Not a new file: it says what it is.
                    self.head = None;
                }
                self.count_deleted(was_deleted);
                self.due.push(Event::Reopened { dropped: self.dropped });
                self.rotate_at = self.size_max.unwrap_or(u64::MAX);
                self.progress.send_modify(|progress| progress.files += 1);
                tracing::info!("reopened audit file");
                self.write(Batch::default());
            }
            Err(error) => self.fails(&system_words(&error)),
        }
    }

    fn rotate_if_full(&mut self) {
        let Some(size_max) = self.size_max.filter(|_| self.files.length() >= self.rotate_at) else { return };
        let rotated = self.files.rotate().and_then(|()| self.files.surplus(self.keep));
        match rotated {
            Ok(surplus) => {
                self.dropped = surplus.last.or(self.dropped);
                self.due.push(Event::Rotated { dropped: self.dropped });
                self.rotate_at = size_max;
                self.said_that_rotation_fails = false;
                self.progress.send_modify(|progress| progress.files += 1);
                self.write(Batch::default());
                if self.due.is_empty() {
                    // Once the chain says that they go. What stays goes with the next ones.
                    surplus.files.iter().for_each(|old| drop(std::fs::remove_file(old)));
                }
            }
            Err(error) => {
                // It grows on: a record that is there is worth more than a bound that is kept.
                self.rotate_at = self.files.length() + size_max;
                if !std::mem::replace(&mut self.said_that_rotation_fails, true) {
                    let why = system_words(&error);
                    tracing::error!(why, path = %self.files.path().display(), "the audit file cannot be rotated");
                }
            }
        }
    }

    /// At the start: files of our own rotation that went by another hand. Where somebody else rotates, only
    /// `audit verify` is told which files there are.
    fn look_at_all_files(&self) {
        if self.size_max.is_none() {
            return;
        }
        let gap = self.files.spans().ok().and_then(|spans| gap(&spans, self.dropped));
        gap.into_iter().for_each(|gap| self.broken(&gap));
    }

    fn count_deleted(&self, was_deleted: bool) {
        if was_deleted {
            self.broken("the file was deleted while it was written");
        }
    }

    fn broken(&self, reason: &str) {
        let path = self.files.path().display();
        tracing::error!(%path, reason, "the audit chain is broken; see `audit verify`");
        metrics::audit_broken();
    }

    fn fails(&mut self, why: &str) {
        metrics::audit_failing(true);
        if !std::mem::replace(&mut self.is_failing, true) {
            let path = self.files.path().display();
            tracing::error!(%path, why, "audit records cannot be written");
        }
    }

    fn works_again(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            metrics::audit_failing(false);
            tracing::info!(path = %self.files.path().display(), "audit records are written again");
        }
    }
}

impl Batch {
    fn add(&mut self, records: Vec<Fields>, answer: Option<Answer<()>>) {
        match answer {
            Some(answer) => self.answers.push(answer),
            None => self.unattended += records.len() as u64,
        }
        self.records.extend(records);
    }
}

/// With what to do next.
fn told(error: &io::Error, why: &str) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{why}; free space on its volume, or move it with server.audit.file")
        }
        _ => format!("{why}; mend the file or its volume"),
    }
}

/// Bounds what one write holds in memory.
const BATCH_RECORDS_MAX: usize = 4_096;
