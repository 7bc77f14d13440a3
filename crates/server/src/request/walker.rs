//! The walker of snapshots: a task of one core that makes the cut and visits shard after shard, in slices between the batches of its core.
//!
//! It only copies and freezes. A thread of its own serialises and writes what it is sent (`saver.rs`). The system may interrupt that thread
//! for long, which a thread that holds a shard must not suffer.

use std::{future::poll_fn, rc::Rc, time::Duration};

use ochre_keyspace::{Advanced, Images, ShardList, Snapshot, Visit};
use tokio::task::yield_now;

use super::locks::{self, Demand, Unavailable};
use crate::{
    clock,
    core::Core,
    saves::{CutFigures, Part, WalkOrder},
    session::LockAttempt,
};

/// How long a slice takes. No shard is locked for longer, or for much longer if its values are large.
const SLICE: Duration = Duration::from_micros(30);
/// The bytes of images after which they are sent.
const PART_BYTES: usize = 256 * 1024;

/// Walks whenever a save asks for it. It never ends.
pub async fn serve(core: Rc<Core>) {
    loop {
        let mut order = core.server.saves.ordered().await;
        let snapshot = cut(&core, &mut order).await;
        walk(&core, snapshot, order).await;
    }
}

/// Begins a snapshot with the gate closed, and sends its first part.
async fn cut(core: &Core, order: &mut WalkOrder) -> Snapshot {
    let mut attempt = None;
    loop {
        core.refresh_config();
        match try_cut(core, order, &mut attempt) {
            Ok((snapshot, figures)) => {
                // If nobody listens, the walk finds that out.
                let _ = order.parts.send(Part::Cut(figures)).await;
                return snapshot;
            }
            Err(unavailable) => {
                poll_fn(|cx| locks::poll_available(core, attempt.as_deref(), unavailable, cx)).await;
            }
        }
    }
}

fn try_cut(
    core: &Core,
    order: &mut WalkOrder,
    attempt: &mut Option<Box<LockAttempt>>,
) -> Result<(Snapshot, CutFigures), Unavailable> {
    let demand = Demand {
        database: 0,
        shards: ShardList::new(),
        everything: true,
        visit: Visit::Brief,
        visit_written: &|_| {},
        is_paused: &|| false,
        is_stale: &|| false,
        may_write: &|| false,
    };
    let mut locked = locks::lock(core, &core.config(), attempt, demand)?;
    let snapshot = locked.whole_keyspace().cut(order.databases).expect("the walker makes one snapshot after the other");
    let position = core.server.journal.last_position();
    if let Some(at_cut) = order.at_cut.take() {
        at_cut(position);
    }
    let figures = CutFigures {
        now_ms: locked.now_ms(),
        sizes: snapshot.sizes().to_vec(),
        changes: core.server.changes(),
        position,
        libraries: core.server.functions.current(),
        watch: snapshot.watch(),
    };
    Ok((snapshot, figures))
}

/// Visits all shards, and sends their images. If nobody takes the images any more, it only brings all entries to one epoch again.
async fn walk(core: &Core, mut snapshot: Snapshot, mut order: WalkOrder) {
    let keyspace = &core.server.keyspace;
    let mut images = Images::default();
    let (mut place, mut longest) = (None, 0);
    loop {
        let Some(entered) = keyspace.gate().enter(core.index, Visit::Brief, &mut place) else {
            poll_fn(|cx| keyspace.gate().poll_turn(place.as_ref(), cx)).await;
            continue;
        };
        let (began, slice) = (clock::ticks(), clock::ticks_of(SLICE));
        let is_over = || clock::ticks() - began >= slice;
        let advanced = loop {
            let before = clock::ticks();
            let mut enough = |bytes| bytes >= PART_BYTES || is_over();
            let advanced = snapshot.advance(keyspace, &entered, &mut images, &mut enough);
            longest = longest.max(clock::ticks() - before);
            if advanced != Advanced::Some || images.bytes() >= PART_BYTES || is_over() {
                break advanced;
            }
        };
        drop(entered);
        if images.bytes() >= PART_BYTES || advanced == Advanced::All && !images.is_empty() {
            let empty = order.written.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut images, empty);
            if order.parts.send(Part::Images(full)).await.is_err() {
                snapshot.watch().cancel();
            }
        }
        match advanced {
            Advanced::Some => yield_now().await,
            Advanced::Busy(busy) => poll_fn(|cx| keyspace.poll_free(busy.shard, cx)).await,
            Advanced::All => break,
        }
    }
    let _ = order.parts.send(Part::End(clock::ticks_to_us(longest) as u64)).await;
}
