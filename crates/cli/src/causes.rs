//! An error and what caused it, as one line.

use std::error::Error;

use tonic::Status;

use crate::rpc_error;

/// `error: cause: its cause`, without causes that an outer text quotes already.
pub fn one_line_of(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.downcast_ref::<Status>().map_or_else(|| cause.to_string(), rpc_error);
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::one_line_of;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("storage: {0}")]
        Quotes(#[from] io::Error),
        #[error("no answer")]
        Names(#[source] Box<Sample>),
    }

    #[test]
    fn each_cause_stands_once() {
        let quotes = Sample::from(io::Error::other("the disk is gone"));
        assert_eq!(one_line_of(&quotes), "storage: the disk is gone");
        assert_eq!(one_line_of(&Sample::Names(Box::new(quotes))), "no answer: storage: the disk is gone");
    }
}
