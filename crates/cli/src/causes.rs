//! An error and what caused it, as one line.

use std::error::Error;

use tonic::Status;

use crate::rpc_error;

/// `error: cause: its cause`, without causes that an outer text quotes already.
pub fn one_line_of(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for cause in error.source().into_iter().flat_map(causes) {
        let status = cause.downcast_ref().or_else(|| cause.downcast_ref().map(Box::<Status>::as_ref));
        let text = status.map_or_else(|| cause.to_string(), rpc_error);
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        // Below it are the layers that carried it, in words of their own.
        if status.is_some() {
            break;
        }
    }
    line
}

/// `error` and what lies below it.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("storage: {0}")]
        Quotes(#[from] io::Error),
        #[error("no answer")]
        Names(#[source] Box<Sample>),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no bundle")]
    struct Refused(#[source] Box<Status>);

    #[test]
    fn a_status_stands_in_the_form_of_grpc_go() {
        let error = Refused(Box::new(Status::not_found("no such entry")));
        assert_eq!(one_line_of(&error), "no bundle: rpc error: code = NotFound desc = no such entry");
    }

    #[test]
    fn each_cause_stands_once() {
        let quotes = Sample::from(io::Error::other("the disk is gone"));
        assert_eq!(one_line_of(&quotes), "storage: the disk is gone");
        assert_eq!(one_line_of(&Sample::Names(Box::new(quotes))), "no answer: storage: the disk is gone");
    }
}
