//! Records of an import, and what became of them.

use std::sync::Arc;

use super::super::DecodeError;
use super::noun::{Agent, Bundle, Entry, JoinToken, Relationship};
use crate::{ImportRecord, ImportResult};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Records {
    #[prost(message, repeated, tag = "1")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(oneof = "Noun", tags = "1, 2, 3, 4, 5")]
    noun: Option<Noun>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Noun {
    #[prost(message, tag = "1")]
    Agent(Agent),
    #[prost(message, tag = "2")]
    Bundle(Bundle),
    #[prost(message, tag = "3")]
    Entry(Entry),
    #[prost(message, tag = "4")]
    JoinToken(JoinToken),
    #[prost(message, tag = "5")]
    Relationship(Relationship),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Results {
    #[prost(message, repeated, tag = "1")]
    results: Vec<RecordResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecordResult {
    #[prost(uint32, tag = "1")]
    verdict: u32,
    #[prost(string, tag = "2")]
    reason: String,
}

// === Records ===

impl From<&[ImportRecord]> for Records {
    fn from(records: &[ImportRecord]) -> Self {
        let noun = |record: &ImportRecord| match record {
            ImportRecord::Agent(agent) => Noun::Agent((&**agent).into()),
            ImportRecord::Bundle(bundle) => Noun::Bundle((&**bundle).into()),
            ImportRecord::Entry(entry) => Noun::Entry((&**entry).into()),
            ImportRecord::JoinToken(token) => Noun::JoinToken(token.into()),
            ImportRecord::Relationship(relationship) => Noun::Relationship(relationship.into()),
        };
        Self { records: records.iter().map(|record| Record { noun: Some(noun(record)) }).collect() }
    }
}

impl TryFrom<Records> for Vec<ImportRecord> {
    type Error = DecodeError;

    fn try_from(records: Records) -> Result<Self, DecodeError> {
        records.records.into_iter().map(|record| record.noun.ok_or(DecodeError::UnknownContent)?.try_into()).collect()
    }
}

impl TryFrom<Noun> for ImportRecord {
    type Error = DecodeError;

    fn try_from(noun: Noun) -> Result<Self, DecodeError> {
        Ok(match noun {
            Noun::Agent(agent) => Self::Agent(Box::new(agent.try_into()?)),
            Noun::Bundle(bundle) => Self::Bundle(Arc::new(bundle.try_into()?)),
            Noun::Entry(entry) => Self::Entry(Arc::new(entry.try_into()?)),
            Noun::JoinToken(token) => Self::JoinToken(token.into()),
            Noun::Relationship(relationship) => Self::Relationship(relationship.try_into()?),
        })
    }
}

// === Results ===

impl From<&[ImportResult]> for Results {
    fn from(results: &[ImportResult]) -> Self {
        let result = |result: &ImportResult| {
            let (verdict, reason) = match result {
                ImportResult::Created => (CREATED, ""),
                ImportResult::Unchanged => (UNCHANGED, ""),
                ImportResult::Kept(reason) => (KEPT, reason.as_str()),
                ImportResult::Conflict(reason) => (CONFLICT, reason.as_str()),
                ImportResult::Refused(reason) => (REFUSED, reason.as_str()),
            };
            RecordResult { verdict, reason: reason.to_owned() }
        };
        Self { results: results.iter().map(result).collect() }
    }
}

impl TryFrom<Results> for Vec<ImportResult> {
    type Error = DecodeError;

    fn try_from(results: Results) -> Result<Self, DecodeError> {
        let result = |result: RecordResult| match result.verdict {
            CREATED => Ok(ImportResult::Created),
            UNCHANGED => Ok(ImportResult::Unchanged),
            KEPT => Ok(ImportResult::Kept(result.reason)),
            CONFLICT => Ok(ImportResult::Conflict(result.reason)),
            REFUSED => Ok(ImportResult::Refused(result.reason)),
            other => Err(DecodeError::invalid("result of an import", other)),
        };
        results.results.into_iter().map(result).collect()
    }
}

const CREATED: u32 = 1;
const UNCHANGED: u32 = 2;
const KEPT: u32 = 3;
const CONFLICT: u32 = 4;
const REFUSED: u32 = 5;
