//! Workloads that a broker refers to, rather than those that call.

use std::sync::Arc;

use futures::future::join_all;
use prost::{Message as _, Name as _};
use steeple_api::broker::WorkloadPidReference;
use steeple_core::plugin::{ReferenceError, WorkloadAttestor, WorkloadProcess, WorkloadReference};
use steeple_core::{Selector, SelectorSet, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use steeple_transport::uds::UdsPeer;
use tonic::{Code, Status};

use super::{SUBSYSTEM, WorkloadAttestors};
use crate::metrics;

/// What a reference came to.
#[derive(Clone, Debug)]
pub struct Referred {
    pub selectors: SelectorSet,
    /// Of a reference by pid: whether it still means this process can be asked later.
    process: Option<UdsPeer>,
}

/// What one attestor made of it.
enum Answer {
    Selectors(Vec<Selector>),
    Unread,
    Failed(Code, String),
}

impl WorkloadAttestors {
    /// Asks every attestor, by pid those that read no references. The selectors of those that succeed are merged.
    pub async fn attest_reference(&self, reference: &WorkloadReference) -> Result<Referred, Status> {
        let timer = CallTimer::start(metrics::WORKLOAD_ATTESTATION);
        let referred = self.referred(reference).await;
        timer.done(rpc_code_name(referred.as_ref().map_or_else(Status::code, |_| Code::Ok) as i32));
        let referred = referred?;
        ::metrics::histogram!(metrics::DISCOVERED_SELECTORS).record(referred.selectors.len() as f64);
        Ok(referred)
    }

    async fn referred(&self, reference: &WorkloadReference) -> Result<Referred, Status> {
        let process = match pid_of(reference) {
            Some(pid) => Some(process(pid)?),
            None => None,
        };
        let by_pid = process.as_ref().map(workload);
        let answers = join_all(self.attestors.iter().map(|attestor| ask(attestor, reference, by_pid))).await;
        let referred = Referred { selectors: merged(answers)?, process };
        referred.check()?;
        Ok(referred)
    }
}

impl Referred {
    /// The pid may mean another process by now: whatever was found is void then.
    pub fn check(&self) -> Result<(), Status> {
        let Some(process) = &self.process else { return Ok(()) };
        let checked = process.watch.as_ref().map_or(Ok(()), |watch| watch.check());
        checked.map_err(|error| failed(&format!("pid {}: {error}", process.pid)))
    }
}

/// `None` also for a pid that cannot be read: then it is nobody's reference (SPIRE behaviour).
fn pid_of(reference: &WorkloadReference) -> Option<i32> {
    let is_pid = reference.type_url == WorkloadPidReference::type_url();
    is_pid.then(|| WorkloadPidReference::decode(reference.value.as_slice()).ok()).flatten().map(|read| read.pid)
}

fn process(pid: i32) -> Result<UdsPeer, Status> {
    let positive = u32::try_from(pid).ok().filter(|pid| *pid > 0);
    let number = positive.ok_or_else(|| Status::invalid_argument(format!("pid {pid} is not positive")))?;
    UdsPeer::of_process(number).map_err(|error| failed(&format!("pid {pid}: {error}")))
}

fn workload(peer: &UdsPeer) -> WorkloadProcess {
    WorkloadProcess { pid: i32::try_from(peer.pid).unwrap_or_default(), uid: peer.uid, gid: peer.gid }
}

async fn ask(
    attestor: &Arc<dyn WorkloadAttestor>,
    reference: &WorkloadReference,
    by_pid: Option<WorkloadProcess>,
) -> Answer {
    let timer = CallTimer::start(metrics::WORKLOAD_ATTESTOR).label("attestor", attestor.name());
    let asked = async {
        match (attestor.attest_reference(reference).await, by_pid) {
            (Ok(selectors), _) => Answer::Selectors(selectors),
            (Err(ReferenceError::Refused { code, message }), _) => Answer::Failed(Code::from_i32(code), message),
            (Err(ReferenceError::Unread), None) => Answer::Unread,
            (Err(ReferenceError::Unread), Some(process)) => match attestor.attest(process).await {
                Ok(selectors) => Answer::Selectors(selectors),
                Err(error) => Answer::Failed(Code::Unauthenticated, error.to_string()),
            },
        }
    };
    let answer = tokio::time::timeout(attestor.answer_time_max(), asked).await;
    let answer = answer.unwrap_or_else(|_| Answer::Failed(Code::DeadlineExceeded, "it took too long".to_owned()));
    timer.done(match &answer {
        Answer::Selectors(_) | Answer::Unread => "OK",
        Answer::Failed(code, _) => rpc_code_name(*code as i32),
    });
    if let Answer::Failed(_, error) = &answer {
        let (plugin, reference_type) = (attestor.name(), &reference.type_url);
        tracing::error!(subsystem_name = SUBSYSTEM, plugin, reference_type, error, "Failed to collect all selectors");
    }
    match answer {
        Answer::Failed(code, error) => {
            Answer::Failed(code, format!("workload attestor {:?} failed: {error}", attestor.name()))
        }
        other => other,
    }
}

/// Where none succeeds, the status of the first that fails, with what all of them say (SPIRE behaviour).
fn merged(answers: Vec<Answer>) -> Result<SelectorSet, Status> {
    let (mut found, mut failures) = (None::<Vec<Selector>>, Vec::new());
    for answer in answers {
        match answer {
            Answer::Selectors(selectors) => found.get_or_insert_default().extend(selectors),
            Answer::Unread => {}
            Answer::Failed(code, error) => failures.push((code, error)),
        }
    }
    match (found, failures.first()) {
        (Some(selectors), _) => Ok(selectors.into_iter().collect()),
        (None, Some((code, _))) => {
            let code = *code;
            let errors: Vec<String> = failures.into_iter().map(|(_, error)| error).collect();
            Err(Status::new(code, errors.join("\n")))
        }
        (None, None) => Err(Status::unimplemented("no workload attestor handled reference")),
    }
}

fn failed(why: &str) -> Status {
    Status::unauthenticated(format!("workload attestation failed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(value: &str) -> Selector {
        Selector::new("x", value).unwrap()
    }

    #[test]
    fn of_several_answers_the_good_ones_count() {
        let refused = || Answer::Failed(Code::NotFound, "no such pod".to_owned());
        let good = |value| Answer::Selectors(vec![selector(value)]);
        assert_eq!(merged(vec![refused(), good("a"), Answer::Unread, good("b")]).unwrap().len(), 2);
        assert!(merged(vec![refused(), Answer::Selectors(Vec::new())]).unwrap().is_empty());
        let status = merged(vec![Answer::Unread, refused(), Answer::Failed(Code::Internal, "oh".to_owned())]);
        let status = status.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no such pod\noh"));
        for answers in [vec![], vec![Answer::Unread, Answer::Unread]] {
            let status = merged(answers).unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented);
            assert_eq!(status.message(), "no workload attestor handled reference");
        }
    }

    #[test]
    fn only_a_whole_pid_under_its_own_name_is_one() {
        let caller = steeple_core::SpiffeId::parse("spiffe://example.org/broker").unwrap();
        let of = |type_url: &str, value: &[u8]| {
            pid_of(&WorkloadReference { type_url: type_url.to_owned(), value: value.to_vec(), caller: caller.clone() })
        };
        let url = "type.googleapis.com/spiffe.broker.WorkloadPIDReference";
        let pid = WorkloadPidReference { pid: 7 }.encode_to_vec();
        assert_eq!((of(url, &pid), of(url, b"")), (Some(7), Some(0)));
        assert_eq!((of(url, b"\xff"), of("evil/spiffe.broker.WorkloadPIDReference", &pid)), (None, None));
        for bad in [0, -1, i32::MIN] {
            assert_eq!(process(bad).unwrap_err().code(), Code::InvalidArgument, "{bad}");
        }
        assert_eq!(process(i32::MAX).unwrap_err().code(), Code::Unauthenticated);
    }
}
