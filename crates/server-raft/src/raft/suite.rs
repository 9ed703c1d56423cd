//! openraft's own storage suite, on our log store and state machine over a real RocksDB.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use steeple_storage::{Options, Storage};

use super::log_store::LogStore;
use super::state_machine::StateMachine;
use super::types::TypeConfig;

/// A new directory for each of the suite's tests; it is removed when the test drops it.
struct Directories;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (tempfile::TempDir, Storage)> for Directories {
    async fn build(&self) -> Result<((tempfile::TempDir, Storage), LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let storage = Storage::open(directory.path(), Options::default()).expect("a fresh store");
        let (machine, _published) = StateMachine::open(&storage).expect("an empty state");
        let log = LogStore::new(storage.log());
        Ok(((directory, storage), log, machine))
    }
}

#[tokio::test]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(Directories).await.expect("the suite passes");
}
