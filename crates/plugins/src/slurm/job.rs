//! From cgroup paths to a job, without I/O.
//!
//! ```text
//!   /system.slice/[<node>_]slurmstepd.scope/job_<number>/step_<step>/{slurm,user}/task_<n>
//!                                           s<SLUID>
//! ```
//!
//! Only the scope right below the top's `system.slice` counts. Root's systemd owns that slice; a workload that may make
//! cgroups of its own (a rootless container, a user's session) can make ones of the same name only below its own.

use std::fmt;

/// A job's directory, and the step in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job<'p> {
    /// `job_<number>`, or the SLUID: Crockford's Base32 with an `s` before it.
    pub directory: &'p str,
    /// A number, `batch`, `extern` or `interactive`.
    pub step: &'p str,
}

/// A process is in one job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("multiple Slurm jobs found in cgroups ({0}, {1})")]
pub struct SeveralJobs(String, String);

/// `None` for a process that Slurm did not start.
pub fn find_job<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Option<Job<'p>>, SeveralJobs> {
    let mut found: Option<Job<'p>> = None;
    for job in paths.into_iter().filter_map(Job::of_path) {
        match found {
            Some(before) if before != job => return Err(SeveralJobs(before.to_string(), job.to_string())),
            _ => found = Some(job),
        }
    }
    Ok(found)
}

impl<'p> Job<'p> {
    fn of_path(path: &'p str) -> Option<Self> {
        let mut segments = path.strip_prefix("/system.slice/")?.split('/');
        let (scope, directory, step) = (segments.next()?, segments.next()?, segments.next()?);
        let step = step.strip_prefix("step_").filter(|step| !step.is_empty())?;
        (scope.ends_with("slurmstepd.scope") && is_job(directory)).then_some(Self { directory, step })
    }

    pub fn selector_values(&self) -> [String; 2] {
        let job = match self.directory.strip_prefix("job_") {
            Some(number) => format!("job_id:{number}"),
            None => format!("sluid:{}", self.directory),
        };
        [job, format!("step:{}", self.step)]
    }
}

fn is_job(directory: &str) -> bool {
    let is = |rest: &str, of: fn(&u8) -> bool| !rest.is_empty() && rest.as_bytes().iter().all(of);
    let numbered = directory.strip_prefix("job_").is_some_and(|number| is(number, u8::is_ascii_digit));
    numbered || directory.strip_prefix('s').is_some_and(|sluid| is(sluid, u8::is_ascii_alphanumeric))
}

impl fmt::Display for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/step_{}", self.directory, self.step)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(path: &str) -> Option<Vec<String>> {
        find_job([path]).unwrap().map(|job| job.selector_values().to_vec())
    }

    #[test]
    fn the_shapes_of_slurms_cgroups() {
        for (path, job, step) in [
            ("/system.slice/slurmstepd.scope/job_3385/step_batch/slurm", "job_id:3385", "step:batch"),
            ("/system.slice/slurmstepd.scope/job_42/step_extern/user/task_0", "job_id:42", "step:extern"),
            ("/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0", "sluid:s5K1KKYAYG5D00", "step:0"),
            (
                "/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_interactive",
                "sluid:sEKNKTV3WPV500",
                "step:interactive",
            ),
            ("/system.slice/node1_slurmstepd.scope/job_100/step_1/slurm", "job_id:100", "step:1"),
        ] {
            assert_eq!(values(path), Some(vec![job.to_owned(), step.to_owned()]), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for path in [
            "/",
            "/system.slice/sshd.service",
            "/system.slice/slurmstepd.scope",
            "/system.slice/slurmstepd.scope/system",
            "/system.slice/slurmstepd.scope/job_1",
            "/system.slice/slurmstepd.scope/job_1/step_",
            "/system.slice/slurmstepd.scope/job_1/user/step_0",
            "/system.slice/slurmstepd.scope/job_/step_0",
            "/system.slice/slurmstepd.scope/job_1x/step_0",
            "/system.slice/slurmstepd.scope/s/step_0",
            "/system.slice/slurmstepd.scope/s_1/step_0",
            "/system.slice/slurmstepd.scope.d/job_1/step_0",
            "/system.slice/a/slurmstepd.scope/job_1/step_0",
            // Made below what a user may write to.
            "/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_999/step_0",
            "/user.slice/user-1000.slice/system.slice/slurmstepd.scope/job_999/step_0",
            "/../system.slice/slurmstepd.scope/job_999/step_0",
            "system.slice/slurmstepd.scope/job_999/step_0",
        ] {
            assert_eq!(values(path), None, "{path}");
        }
    }

    #[test]
    fn a_process_is_in_one_job_whatever_the_hierarchies() {
        let one = "/system.slice/slurmstepd.scope/job_1/step_0";
        let same = "/system.slice/slurmstepd.scope/job_1/step_0/user/task_3";
        assert!(find_job(["/", one, "/user.slice", same]).unwrap().is_some());
        let other = "/system.slice/slurmstepd.scope/job_1/step_1";
        let error = find_job([one, other]).unwrap_err().to_string();
        assert_eq!(error, "multiple Slurm jobs found in cgroups (job_1/step_0, job_1/step_1)");
    }

    proptest! {
        /// SPIRE's pattern is the oracle.
        #[test]
        fn no_other_verdict_than_spires_pattern(
            path in "(/system\\.slice|/user\\.slice|)/(a_|)slurmstepd\\.scope(/(job_[0-9]{0,2}|s[0-9A-Z_]{0,2}|x)){0,2}\
                     (/step_[a-z/]{0,2}){0,2}",
        ) {
            let pattern = regex::Regex::new(
                r"^/system\.slice/[^/]*slurmstepd\.scope/(job_[0-9]+|s[0-9A-Za-z]+)/step_([^/]+)",
            ).unwrap();
            let expected = pattern.captures(&path).map(|found| (found[1].to_owned(), found[2].to_owned()));
            let job = find_job([path.as_str()]).unwrap();
            prop_assert_eq!(job.map(|job| (job.directory.to_owned(), job.step.to_owned())), expected);
        }
    }
}
