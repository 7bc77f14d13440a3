//! The saves of a server: which one is running or is to come, how the last ones ended, and what the walker is asked for.
//!
//! Who wants a save calls `saver::begin`. A thread of its own writes the file; a task of a core walks through the shards for it, since a
//! thread that the system may interrupt must not hold a shard. This file is what the two, the commands and INFO know of each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use ochre_keyspace::{DatabaseSize, Images, SnapshotWatch, WaitingTasks};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{clock, functions::Libraries, journal::Position};

/// The saves of a server. See the module.
#[derive(Default)]
pub struct Saves {
    /// Changes with each save that begins or ends.
    state: Mutex<State>,
    /// Whether the last save in the background failed. It is read for every write.
    has_failed: AtomicBool,
    /// The keys that the running save has written.
    keys_written: AtomicUsize,
    /// The walk that a save asks for.
    ordered: Mutex<Option<WalkOrder>>,
    order_given: Notify,
    /// The bytes that lock sets may hand over before they wait.
    backlog_max: AtomicUsize,
    /// Requests that wait until the backlog is shorter.
    held_back: Mutex<WaitingTasks>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    /// The saves that come next: the running one was cancelled and has not ended yet, or is for another target.
    next: Vec<Save>,
    /// BGSAVE SCHEDULE.
    is_scheduled: bool,
    figures: SaveFigures,
}

/// What a snapshot is written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The file that is loaded at start (`dbfilename`).
    Rdb,
    /// The base of the append-only file.
    AofBase,
}

/// A save.
pub struct Save {
    /// What it is for.
    pub target: Target,
    /// Whether it was asked for by BGSAVE or a save point. Only such a save is shown by INFO as one in the background.
    pub is_background: bool,
    /// Called with how it ended.
    pub then: Option<Then>,
}

/// Called with how a save ended.
pub type Then = Box<dyn FnOnce(Ended) + Send>;

/// A save that is running.
struct Running {
    target: Target,
    is_background: bool,
    then: Vec<Then>,
    began_ms: i64,
    /// The changes of the data before the cut, once the cut is made.
    changes_at_cut: u64,
    keys_total: usize,
    watch: Option<SnapshotWatch>,
    is_cancelled: bool,
}

/// How a save ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The file is complete and synced.
    Saved,
    /// The log says why.
    Failed,
    /// It was cancelled, or FLUSHALL made it useless.
    Cancelled,
}

/// What became of a request for a save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The caller starts it.
    Begins,
    /// It begins when the one that was cancelled has ended.
    Follows,
    /// Another one is running.
    Refused,
}

/// The figures of saves that INFO shows.
#[derive(Clone, Debug)]
pub struct SaveFigures {
    /// The changes that are in the last file.
    pub changes_saved: u64,
    /// When the last save succeeded, in seconds since 1970; at first, when the server started.
    pub last_saved_s: i64,
    /// When the last save in the background began, in seconds since 1970.
    pub last_tried_s: i64,
    /// How long the last save in the background took, in seconds.
    pub last_seconds: Option<i64>,
    /// The most bytes that writers had handed over during the last save.
    pub last_backlog_peak: usize,
    /// How many saves have succeeded.
    pub saves: u64,
    /// The longest time for which the last walk held a shard locked, in microseconds.
    pub longest_lock_us: u64,
}

impl Default for SaveFigures {
    fn default() -> SaveFigures {
        SaveFigures {
            changes_saved: 0,
            last_saved_s: clock::now_ms() / 1000,
            last_tried_s: 0,
            last_seconds: None,
            last_backlog_peak: 0,
            saves: 0,
            longest_lock_us: 0,
        }
    }
}

/// The progress of the running save, for INFO.
#[derive(Clone, Copy, Debug)]
pub struct SaveProgress {
    /// What it is for.
    pub target: Target,
    /// Whether it is one in the background.
    pub is_background: bool,
    /// For how many seconds it has been running.
    pub seconds: i64,
    /// The keys that were written.
    pub keys_written: usize,
    /// The keys that there were at the cut.
    pub keys_total: usize,
    /// The bytes that writers have handed over and that are not written yet.
    pub backlog: usize,
}

/// A walk through all shards, for the task that walks.
pub struct WalkOrder {
    /// How many databases there are.
    pub databases: usize,
    /// Called with the gate closed, when the cut is made. It is given the position of the last frame of the journal.
    pub at_cut: Option<AtCut>,
    /// Where the parts of the snapshot go. If it is closed, the walk takes no further images.
    pub parts: mpsc::Sender<Part>,
    /// Images that were written, to be filled again.
    pub written: mpsc::UnboundedReceiver<Images>,
}

/// See [`WalkOrder::at_cut`].
pub type AtCut = Box<dyn FnOnce(Position) + Send>;

/// A part of a snapshot, as the walker hands it over.
pub enum Part {
    /// The first part: the cut was made.
    Cut(CutFigures),
    /// Some images.
    Images(Images),
    /// The last part: there are no further images. The longest time for which a shard was locked, in microseconds.
    End(u64),
}

/// What was known at the cut.
pub struct CutFigures {
    /// The time, in milliseconds since 1970. Fields that had expired by then are not part of the snapshot.
    pub now_ms: i64,
    /// What each database held.
    pub sizes: Vec<DatabaseSize>,
    /// The changes of the data before it.
    pub changes: u64,
    /// The position of the last frame of the journal before it.
    pub position: Position,
    /// The libraries of functions.
    pub libraries: Arc<Libraries>,
    /// A handle of the snapshot.
    pub watch: SnapshotWatch,
}

impl Saves {
    /// Asks for a save. If the result is [`Asked::Begins`], the caller starts it.
    pub fn ask(&self, save: Save) -> Asked {
        let mut state = self.state.lock();
        match &state.running {
            None => {
                state.begin(vec![save]);
                self.keys_written.store(0, Ordering::Relaxed);
                Asked::Begins
            }
            Some(running) if running.is_cancelled || running.target != save.target => {
                state.next.push(save);
                Asked::Follows
            }
            Some(_) => Asked::Refused,
        }
    }

    /// Has a save begin as soon as nothing else is running (BGSAVE SCHEDULE).
    pub fn schedule(&self) {
        self.state.lock().is_scheduled = true;
    }

    /// Returns whether a save was scheduled and nothing is running, and forgets that it was scheduled.
    pub fn take_scheduled(&self) -> bool {
        let mut state = self.state.lock();
        state.running.is_none() && std::mem::take(&mut state.is_scheduled)
    }

    /// Cancels what is scheduled. Returns whether anything was.
    pub fn cancel_scheduled(&self) -> bool {
        std::mem::take(&mut self.state.lock().is_scheduled)
    }

    /// Cancels the running save for a target. Returns whether there is one.
    pub fn cancel(&self, target: Target) -> bool {
        let mut state = self.state.lock();
        let is_it = |running: &&mut Running| running.target == target && !running.is_cancelled;
        let Some(running) = state.running.as_mut().filter(is_it) else { return false };
        running.is_cancelled = true;
        running.watch.iter().for_each(SnapshotWatch::cancel);
        drop(state);
        self.held_back.lock().wake_all();
        true
    }

    /// Returns whether a save for a target is running, and was not cancelled, or comes next.
    pub fn is_running(&self, target: Target) -> bool {
        let state = self.state.lock();
        let is_running = |running: &Running| running.target == target && !running.is_cancelled;
        state.next.iter().any(|save| save.target == target) || state.running.as_ref().is_some_and(is_running)
    }

    /// Returns whether a save for a target that was asked for in the background is running, and was not cancelled, or comes next.
    pub fn is_running_in_background(&self, target: Target) -> bool {
        let state = self.state.lock();
        let is_it = |running: &Running| running.target == target && running.is_background && !running.is_cancelled;
        let comes_next = state.next.iter().any(|save| save.target == target && save.is_background);
        comes_next || state.running.as_ref().is_some_and(is_it)
    }

    /// Returns whether nothing is running.
    pub fn is_idle(&self) -> bool {
        self.state.lock().running.is_none()
    }

    /// Returns the target of the running save.
    pub fn target(&self) -> Option<Target> {
        self.state.lock().running.as_ref().map(|running| running.target)
    }

    /// Returns whether the running save was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.lock().running.as_ref().is_some_and(|running| running.is_cancelled)
    }

    /// Notes that the cut of the running save was made. Up to `backlog_max` bytes may be handed over before writers wait.
    pub fn note_cut(&self, cut: &CutFigures, backlog_max: usize) {
        self.backlog_max.store(backlog_max, Ordering::Relaxed);
        if let Some(running) = &mut self.state.lock().running {
            running.changes_at_cut = cut.changes;
            running.keys_total = cut.sizes.iter().map(|size| size.keys).sum();
            if running.is_cancelled {
                cut.watch.cancel();
            }
            running.watch = Some(cut.watch.clone());
        }
    }

    /// Notes that the running save has written `keys` keys more, and lets requests go on that waited for that.
    pub fn note_written(&self, keys: usize) {
        self.keys_written.fetch_add(keys, Ordering::Relaxed);
        let mut state = self.state.lock();
        let backlog =
            state.running.as_ref().and_then(|running| running.watch.as_ref()).map_or(0, SnapshotWatch::backlog);
        state.figures.last_backlog_peak = state.figures.last_backlog_peak.max(backlog);
        drop(state);
        if backlog <= self.backlog_max.load(Ordering::Relaxed) {
            self.held_back.lock().wake_all();
        }
    }

    /// Ends the running save. Returns whether another one has begun, which the caller goes on with.
    pub fn end(&self, ended: Ended, longest_lock_us: u64) -> bool {
        let mut state = self.state.lock();
        let Some(running) = state.running.take() else { return false };
        state.figures.longest_lock_us = longest_lock_us;
        let is_rdb = running.target == Target::Rdb;
        if is_rdb && ended == Ended::Saved {
            state.figures.changes_saved = running.changes_at_cut;
            state.figures.last_saved_s = clock::now_ms() / 1000;
            state.figures.saves += 1;
        }
        if is_rdb && running.is_background {
            state.figures.last_seconds = Some((clock::now_ms() - running.began_ms) / 1000);
        }
        // A save that was cancelled says nothing about the disk.
        if is_rdb && ended != Ended::Cancelled {
            self.has_failed.store(ended == Ended::Failed, Ordering::Release);
        }
        // Those that are for the same target become one.
        let target = state.next.first().map(|save| save.target);
        let next: Vec<Save> = state.next.extract_if(.., |save| Some(save.target) == target).collect();
        let goes_on = !next.is_empty();
        if goes_on {
            state.begin(next);
            self.keys_written.store(0, Ordering::Relaxed);
        }
        drop(state);
        self.held_back.lock().wake_all();
        running.then.into_iter().for_each(|then| then(ended));
        goes_on
    }

    /// Returns whether the last save failed (`stop-writes-on-bgsave-error`).
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Returns the figures of the saves that have ended.
    pub fn figures(&self) -> SaveFigures {
        self.state.lock().figures.clone()
    }

    /// Returns the progress of the running save, if there is one that was not cancelled.
    pub fn progress(&self) -> Option<SaveProgress> {
        let state = self.state.lock();
        let running = state.running.as_ref().filter(|running| !running.is_cancelled)?;
        Some(SaveProgress {
            target: running.target,
            is_background: running.is_background,
            seconds: (clock::now_ms() - running.began_ms) / 1000,
            keys_written: self.keys_written.load(Ordering::Relaxed),
            keys_total: running.keys_total,
            backlog: running.watch.as_ref().map_or(0, SnapshotWatch::backlog),
        })
    }

    /// Gives the walker an order.
    pub fn order(&self, order: WalkOrder) {
        *self.ordered.lock() = Some(order);
        self.order_given.notify_one();
    }

    /// Returns the next order for the walker.
    pub async fn ordered(&self) -> WalkOrder {
        loop {
            if let Some(order) = self.ordered.lock().take() {
                return order;
            }
            self.order_given.notified().await;
        }
    }

    /// Returns whether a writer has to wait until what was handed over is written. `watch` is the snapshot that is being taken.
    pub fn holds_back(&self, watch: &SnapshotWatch) -> bool {
        !watch.is_cancelled() && watch.backlog() > self.backlog_max.load(Ordering::Relaxed)
    }

    /// Has the task woken when more of the snapshot is written. Returns `Ready` if there is no snapshot.
    pub fn poll_written(&self, has_snapshot: impl Fn() -> bool, context: &mut Context<'_>) -> Poll<()> {
        let mut held_back = self.held_back.lock();
        // The walk ends before the last part is written, after which all tasks are woken once more.
        if !has_snapshot() {
            return Poll::Ready(());
        }
        held_back.add(context.waker());
        Poll::Pending
    }

    /// Returns `Ready` if writers need not wait. Otherwise the task is woken when that is so.
    pub fn poll_backlog(&self, snapshot: Option<&SnapshotWatch>, context: &mut Context<'_>) -> Poll<()> {
        let mut held_back = self.held_back.lock();
        if !snapshot.is_some_and(|watch| self.holds_back(watch)) {
            return Poll::Ready(());
        }
        held_back.add(context.waker());
        Poll::Pending
    }
}

impl State {
    fn begin(&mut self, saves: Vec<Save>) {
        let now_ms = clock::now_ms();
        let is_background = saves.iter().any(|save| save.is_background);
        let target = saves[0].target;
        if is_background && target == Target::Rdb {
            self.figures.last_tried_s = now_ms / 1000;
        }
        self.figures.last_backlog_peak = 0;
        self.running = Some(Running {
            target,
            is_background,
            then: saves.into_iter().filter_map(|save| save.then).collect(),
            began_ms: now_ms,
            changes_at_cut: 0,
            keys_total: 0,
            watch: None,
            is_cancelled: false,
        });
    }
}
