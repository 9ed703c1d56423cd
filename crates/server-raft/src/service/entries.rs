//! `steeple.server.v1.Entries`: registration entries, followed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::status::authorization_denied;
use steeple_api::steeple::server::entries_server::Entries as EntriesApi;
use steeple_api::steeple::server::{WatchEntriesRequest, WatchEntriesResponse};
use steeple_transport::serve::{ConnectionAge, Deadline, LongCall};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::entry_filter::entry_filter;
use super::shared::Shared;
use crate::applied_index::{self, APPLIED_INDEX};
use crate::authz::{Authorized, Rights, authorized};
use crate::entry_watch::{Gone, Piece, Watch};
use crate::freshness::until_stale;

pub struct EntriesService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl EntriesApi for EntriesService {
    async fn watch(
        &self,
        request: Request<WatchEntriesRequest>,
    ) -> Result<Response<BoxStream<WatchEntriesResponse>>, Status> {
        let caller = authorized(&request)?;
        let connection = request.extensions().get::<ConnectionAge>().map(ConnectionAge::long_call);
        let deadline = request.extensions().get::<Deadline>().copied();
        let request = request.into_inner();
        let what = "failed to watch entries";
        let mut filter = entry_filter(request.filter.unwrap_or_default(), &self.shared.trust_domain, what)?;
        filter.within = caller.rights().map(Rights::entries);

        let feed = &self.shared.entry_feed;
        let place = feed.place();
        let place = place.ok_or_else(|| Status::resource_exhausted("too many watch here; ask another replica"))?;
        self.shared.until_fresh().await?;
        let fresh = self.shared.freshness.subscribe();
        let after = match request.after_index {
            0 => self.shared.fresh().await?.state().applied_index(),
            index => {
                applied_index::reached(&mut self.shared.replica.applied(), index, deadline).await?;
                index
            }
        };
        let watch = Watch::after(after, filter, request.output_mask, &feed.history());
        let watch = watch.map_err(|gone| relist(&self.shared, gone))?;
        let (messages, stream) = mpsc::channel(MESSAGES_WAITING_MAX);
        let followed = Followed { shared: Arc::clone(&self.shared), caller, watch, connection, fresh, _place: place };
        tokio::spawn(followed.run(messages));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// One stream.
struct Followed {
    shared: Arc<Shared>,
    caller: Authorized,
    watch: Watch,
    connection: Option<LongCall>,
    fresh: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

type Message = Result<WatchEntriesResponse, Status>;

impl Followed {
    async fn run(mut self, messages: mpsc::Sender<Message>) {
        if let Err(last) = self.follow(&messages).await {
            // Who does not read is gone.
            let _ = messages.send_timeout(Err(last), FAREWELL_MAX).await;
        }
    }

    /// Until the client leaves or its connection is to end.
    async fn follow(&mut self, messages: &mpsc::Sender<Message>) -> Result<(), Status> {
        let feed = Arc::clone(&self.shared.entry_feed);
        let mut known_through = feed.known_through();
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first message says from where on.
        let mut told = None;
        let mut is_due = true;
        loop {
            known_through.mark_unchanged();
            let piece = self.watch.next(&feed.history());
            let Piece { response, more } = piece.map_err(|gone| relist(&self.shared, gone))?;
            let says_something = !response.changes.is_empty() || is_due && told != Some(response.resume_index);
            is_due = false;
            if says_something {
                told = Some(response.resume_index);
                tokio::select! {
                    room = messages.reserve() => match room {
                        Ok(room) => room.send(Ok(response)),
                        Err(_) => return Ok(()),
                    },
                    ended = ended(&mut self.connection, &mut self.fresh) => return ended,
                }
            } else if !more {
                tokio::select! {
                    Ok(()) = known_through.changed() => {}
                    _ = looks.tick() => is_due = true,
                    () = messages.closed() => return Ok(()),
                    ended = ended(&mut self.connection, &mut self.fresh) => return ended,
                }
            }
            self.is_still_allowed()?;
        }
    }

    fn is_still_allowed(&self) -> Result<(), Status> {
        let (state, now) = (self.shared.replica.state().read(), self.shared.clock.now());
        match self.caller.is_still_let_in(&state, now) {
            true => Ok(()),
            false => Err(authorization_denied(METHOD, None)),
        }
    }
}

/// Resolves when the stream has to end, and says how.
async fn ended(connection: &mut Option<LongCall>, fresh: &mut watch::Receiver<bool>) -> Result<(), Status> {
    let connection_ends = async {
        match connection {
            Some(call) => call.connection_ends().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = connection_ends => Ok(()),
        () = until_stale(fresh) => Err(Status::unavailable("this replica has lost contact with the leader")),
    }
}

/// The index to watch from is in the metadata too.
fn relist(shared: &Shared, gone: Gone) -> Status {
    let now = shared.replica.state().read().applied_index();
    let mut status = Status::out_of_range(format!(
        "changes up to log index {} are not kept any more; list the entries again and watch after the \
         {APPLIED_INDEX} of that answer, which will be {now} or later",
        gone.through
    ));
    status.metadata_mut().insert(APPLIED_INDEX, now.into());
    status
}

const METHOD: &str = "/steeple.server.v1.Entries/Watch";
/// Messages that wait for a slow client, on top of what HTTP/2 holds. It misses nothing: the history waits.
const MESSAGES_WAITING_MAX: usize = 2;
/// How often a client hears where to come back to while nothing passes its filter, and how often its rights are looked
/// at while nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// For the last message to a client that is sent away.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
