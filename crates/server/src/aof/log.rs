//! The log: gathers the frames of all cores, and has a thread that writes them in their order.
//!
//! A core appends a frame to its own buffer, under the locks of the frame's keys. The writer takes the buffers of all cores and sorts the frames
//! by number. It writes them up to the first number that is missing: that frame's lock set has not ended yet.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use ochre_keyspace::WaitingTasks;
use ochre_persist::{aof::encode::Encoder, files::OutFile};
use parking_lot::Mutex;

use crate::{
    journal::{Frame, Position, Sink},
    threads,
};

/// When the log is synced (`appendfsync`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Sync {
    /// Whenever the system does it.
    No,
    /// Every second.
    EverySecond,
    /// Before a reply is sent.
    Always,
}

/// The settings of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// When it is synced.
    pub sync: Sync,
    /// Whether times are written (`aof-timestamp-enabled`).
    pub times: bool,
    /// Whether checksums are written (`aof-checksum`).
    pub checksums: bool,
}

/// The log of a server. See the module.
pub struct Log {
    cores: Box<[CoreBuffer]>,
    options: AtomicU8,
    /// Everything up to the frame with this number is durable.
    durable: AtomicU64,
    /// The bytes of frames that were appended and are not written yet.
    backlog: AtomicUsize,
    /// The tasks that wait until there are fewer.
    held_back: Mutex<WaitingTasks>,
    /// The bytes of all increments.
    size: AtomicU64,
    /// How often a sync was still running when the next one was due.
    delayed_syncs: AtomicU64,
    is_syncing: AtomicBool,
    has_failed: AtomicBool,
    error: Mutex<Option<Failure>>,
    /// The tasks that wait until a number is durable, by number.
    waiting: Mutex<BTreeMap<u64, Vec<Waiter>>>,
    /// What the writer is to do besides writing.
    orders: Mutex<Vec<Order>>,
    writer: OnceLock<Thread>,
    /// Whether the writer sleeps, or is about to.
    is_asleep: AtomicBool,
}

#[derive(Default)]
#[repr(align(128))]
struct CoreBuffer(Mutex<Appended>);

/// Frames that were appended. A frame is the bytes up to its end.
#[derive(Default)]
struct Appended {
    bytes: Vec<u8>,
    frames: Vec<(u64, usize)>,
}

/// Who waits until a number is durable.
enum Waiter {
    Task(Waker),
    Call(Box<dyn FnOnce() + Send>),
}

/// What failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failed {
    /// A write. It is tried again.
    Write,
    /// A sync. The file is given up; see [`Log::needs_rewrite`].
    Sync,
}

struct Failure {
    what: Failed,
    text: String,
}

enum Order {
    /// Frames behind this number go to another file.
    Switch(u64, Arc<dyn OutFile>),
    /// Write and sync everything, and say so.
    Flush(mpsc::Sender<()>),
    /// As [`Order::Flush`], and then end.
    End(mpsc::Sender<()>),
}

/// Where a log begins.
pub struct Begin {
    /// The increment.
    pub file: Arc<dyn OutFile>,
    /// Its length in bytes.
    pub len: u64,
    /// The bytes of all increments.
    pub size: u64,
    /// The last frame that is not written to it.
    pub position: Position,
}

/// The bytes of frames beyond which writers wait until the disk has taken some.
const BACKLOG_BYTES_MAX: usize = 64 << 20;

const CHECKSUMS: u8 = 1 << 2;
const TIMES: u8 = 1 << 3;

impl LogOptions {
    fn bits(self) -> u8 {
        self.sync as u8 | if self.checksums { CHECKSUMS } else { 0 } | if self.times { TIMES } else { 0 }
    }

    fn of_bits(bits: u8) -> LogOptions {
        let sync = match bits & (CHECKSUMS - 1) {
            0 => Sync::No,
            1 => Sync::EverySecond,
            _ => Sync::Always,
        };
        LogOptions { sync, times: bits & TIMES != 0, checksums: bits & CHECKSUMS != 0 }
    }
}

impl Log {
    /// Starts a log, with the thread that writes it.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(cores: usize, options: LogOptions, begin: Begin) -> io::Result<Arc<Log>> {
        let log = Arc::new(Log {
            cores: (0..cores).map(|_| CoreBuffer::default()).collect(),
            options: AtomicU8::new(options.bits()),
            durable: AtomicU64::new(begin.position.number()),
            backlog: AtomicUsize::new(0),
            held_back: Mutex::default(),
            size: AtomicU64::new(begin.size),
            delayed_syncs: AtomicU64::new(0),
            is_syncing: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            error: Mutex::new(None),
            waiting: Mutex::default(),
            orders: Mutex::default(),
            writer: OnceLock::new(),
            is_asleep: AtomicBool::new(false),
        });
        let writer = Writer::new(log.clone(), options, begin)?;
        let thread = threads::spawn("ochre-aof", move || writer.run())?;
        log.writer.set(thread.thread().clone()).expect("a log is started once");
        log.wake_writer();
        Ok(log)
    }

    /// Returns when it is synced.
    pub fn sync(&self) -> Sync {
        self.options().sync
    }

    fn options(&self) -> LogOptions {
        LogOptions::of_bits(self.options.load(Ordering::Acquire))
    }

    /// Changes its settings.
    pub fn set_options(&self, options: LogOptions) {
        self.options.store(options.bits(), Ordering::Release);
        self.wake_writer();
        // The tasks that wait look at the new setting.
        let mut waiting = self.waiting.lock();
        for waiters in waiting.values_mut() {
            for waiter in waiters.extract_if(.., |waiter| matches!(waiter, Waiter::Task(_))) {
                if let Waiter::Task(waker) = waiter {
                    waker.wake();
                }
            }
        }
    }

    /// Has the frames behind a position written to another file. The caller has closed the gate, and the position is that of the last frame.
    pub fn switch(&self, position: Position, file: Arc<dyn OutFile>) {
        self.order(Order::Switch(position.number(), file));
    }

    /// Returns when everything that was appended before is synced.
    pub fn flush(&self) {
        let (done, flushed) = mpsc::channel();
        self.order(Order::Flush(done));
        // The writer may have ended.
        let _ = flushed.recv();
    }

    /// Syncs everything, and ends the thread.
    pub fn end(&self) {
        let (done, ended) = mpsc::channel();
        self.order(Order::End(done));
        let _ = ended.recv();
    }

    fn order(&self, order: Order) {
        self.orders.lock().push(order);
        self.wake_writer();
    }

    #[inline]
    fn wake_writer(&self) {
        // The writer says that it falls asleep before it looks at the buffers a last time.
        if self.is_asleep.load(Ordering::SeqCst)
            && self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Returns the number up to which everything is durable.
    pub fn durable(&self) -> Position {
        Position::of_frame(self.durable.load(Ordering::Acquire))
    }

    /// Returns `Ready` if everything up to a position is durable. Otherwise the task is woken when that is so.
    pub fn poll_durable(&self, position: Position, context: &mut Context<'_>) -> Poll<()> {
        if self.durable() >= position {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        // The writer publishes the number before it locks the list.
        if self.durable() >= position {
            return Poll::Ready(());
        }
        let waiters = waiting.entry(position.number()).or_default();
        let is_it = |waiter: &Waiter| matches!(waiter, Waiter::Task(waker) if waker.will_wake(context.waker()));
        if !waiters.iter().any(is_it) {
            waiters.push(Waiter::Task(context.waker().clone()));
        }
        Poll::Pending
    }

    /// Calls `then` when everything up to a position is durable.
    pub fn when_durable(&self, position: Position, then: Box<dyn FnOnce() + Send>) {
        let mut waiting = self.waiting.lock();
        if self.durable() < position {
            waiting.entry(position.number()).or_default().push(Waiter::Call(then));
            return;
        }
        drop(waiting);
        then();
    }

    fn set_durable(&self, number: u64) {
        if number > self.durable.load(Ordering::Relaxed) {
            self.durable.store(number, Ordering::Release);
            self.wake_up_to(number);
        }
    }

    fn wake_up_to(&self, number: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.first_key_value().is_none_or(|(&first, _)| first > number) {
            return;
        }
        let later = match number.checked_add(1) {
            Some(next) => waiting.split_off(&next),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut *waiting, later);
        drop(waiting);
        due.into_values().flatten().for_each(|waiter| match waiter {
            Waiter::Task(waker) => waker.wake(),
            Waiter::Call(then) => then(),
        });
    }

    /// Returns the bytes that are not written yet.
    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Returns whether so much is not written yet that writers have to wait for the disk.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.backlog() > BACKLOG_BYTES_MAX
    }

    /// Returns `Ready` if writers need not wait for the disk. Otherwise the task is woken when that is so.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut held_back = self.held_back.lock();
        if !self.is_full() {
            return Poll::Ready(());
        }
        held_back.add(context.waker());
        Poll::Pending
    }

    /// Notes that so many bytes are written.
    fn note_written(&self, bytes: usize) {
        let before = self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        // It may have been full at any time before.
        if before > BACKLOG_BYTES_MAX / 2 {
            let mut held_back = self.held_back.lock();
            if !self.is_full() {
                held_back.wake_all();
            }
        }
    }

    /// Returns the bytes of all increments.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Returns how often a sync was still running when the next one was due.
    pub fn delayed_syncs(&self) -> u64 {
        self.delayed_syncs.load(Ordering::Relaxed)
    }

    /// Returns whether a sync runs in the background.
    pub fn is_syncing(&self) -> bool {
        self.is_syncing.load(Ordering::Relaxed)
    }

    /// Returns whether it cannot be written, so that further writes are refused.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Returns why it cannot be written.
    pub fn error(&self) -> Option<String> {
        self.error.lock().as_ref().map(|failure| failure.text.clone())
    }

    /// Returns whether a sync has failed. What such a file holds on the disk is not known, so the error stays until a rewrite is complete.
    pub fn needs_rewrite(&self) -> bool {
        self.error.lock().as_ref().is_some_and(|failure| failure.what == Failed::Sync)
    }

    /// Notes that a rewrite is complete: everything up to a position is in its base.
    pub fn rewritten(&self, position: Position, size: u64) {
        self.size.store(size, Ordering::Relaxed);
        let mut error = self.error.lock();
        if error.as_ref().is_some_and(|failure| failure.what == Failed::Sync) {
            *error = None;
            self.has_failed.store(false, Ordering::Release);
        }
        drop(error);
        self.set_durable(position.number());
    }

    fn fail(&self, what: Failed, error: &io::Error) {
        let mut failure = self.error.lock();
        if failure.as_ref().is_some_and(|failure| failure.what == Failed::Sync) {
            return;
        }
        if failure.is_none() {
            let step =
                if what == Failed::Write { "Error writing to the AOF file" } else { "Error syncing the AOF file" };
            tracing::warn!("{step}: {error}");
        }
        *failure = Some(Failure { what, text: error.to_string() });
        self.has_failed.store(true, Ordering::Release);
    }

    fn recover(&self) {
        let mut failure = self.error.lock();
        if failure.as_ref().is_some_and(|failure| failure.what == Failed::Write) {
            tracing::warn!("AOF write error looks solved. The server can write again.");
            *failure = None;
            self.has_failed.store(false, Ordering::Release);
        }
    }

    fn is_failed_for_good(&self) -> bool {
        self.has_failed() && self.needs_rewrite()
    }
}

impl Sink for Log {
    fn append(&self, core: usize, frame: Frame<'_>) {
        let mut appended = self.cores[core].0.lock();
        frame.copy_items(&mut appended.bytes);
        let end = appended.bytes.len();
        appended.frames.push((frame.position.number(), end));
        drop(appended);
        self.backlog.fetch_add(frame.len(), Ordering::Relaxed);
        if end >= BLOCK_BYTES {
            self.appended();
        }
    }

    fn appended(&self) {
        // Orders the frames before the question whether the writer is asleep.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.wake_writer();
    }
}

/// A frame that waits for those before it: where its items lie.
struct Waiting {
    buffer: Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

/// The thread that writes.
struct Writer {
    log: Arc<Log>,
    options: LogOptions,
    encoder: Encoder,
    file: Arc<dyn OutFile>,
    /// The length of the file, up to where its last write succeeded.
    len: u64,
    /// The number of the last frame that was encoded.
    encoded: u64,
    /// The number of the last frame that was written.
    written: u64,
    /// The number of the last frame that a sync has begun for.
    sync_begun: u64,
    /// Bytes that are to be written.
    out: Vec<u8>,
    /// The bytes of frames that `out` stands for.
    out_of_backlog: usize,
    /// Frames by number, of which an earlier one is missing.
    waiting: BTreeMap<u64, Waiting>,
    switches: Vec<(u64, Arc<dyn OutFile>)>,
    flushes: Vec<mpsc::Sender<()>>,
    ends: bool,
    last_sync: Instant,
    syncer: Syncer,
}

/// How often the log is synced under [`Sync::EverySecond`], and how often a failed write is tried again.
const EVERY: Duration = Duration::from_secs(1);
/// The bytes after which a block has its checksum.
const BLOCK_BYTES: usize = 64 * 1024;
/// A larger buffer is freed when it is empty.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Writer {
    fn new(log: Arc<Log>, options: LogOptions, begin: Begin) -> io::Result<Writer> {
        let number = begin.position.number();
        let mut writer = Writer {
            syncer: Syncer::start(log.clone())?,
            log,
            options,
            encoder: Encoder::new(options.times, options.checksums),
            file: begin.file,
            len: begin.len,
            encoded: number,
            written: number,
            sync_begun: number,
            out: Vec::new(),
            out_of_backlog: 0,
            waiting: BTreeMap::new(),
            switches: Vec::new(),
            flushes: Vec::new(),
            ends: false,
            last_sync: Instant::now(),
        };
        writer.encoder.begin(&mut writer.out);
        Ok(writer)
    }

    fn run(mut self) {
        loop {
            // A switch is ordered before the first frame that comes after it is appended. So the frames are taken first.
            let took = self.take_frames();
            self.take_orders();
            self.encode();
            let wrote = self.write();
            self.sync();
            self.switch();
            if !took && !wrote && !self.finish_flushes() {
                if self.ends {
                    return;
                }
                self.sleep();
            }
        }
    }

    fn take_orders(&mut self) {
        for order in std::mem::take(&mut *self.log.orders.lock()) {
            match order {
                Order::Switch(number, file) => self.switches.push((number, file)),
                Order::Flush(done) => self.flushes.push(done),
                Order::End(done) => {
                    self.flushes.push(done);
                    self.ends = true;
                }
            }
        }
        let options = self.log.options();
        if options != self.options {
            self.change_options(options);
        }
    }

    /// A new encoder goes on behind what was written. One without checksums ends the last block of the one before.
    fn change_options(&mut self, options: LogOptions) {
        if (options.times, options.checksums) != (self.options.times, self.options.checksums) {
            self.encoder.end(&mut self.out);
            self.encoder = Encoder::new(options.times, options.checksums);
            self.encoder.begin(&mut self.out);
        }
        self.options = options;
    }

    /// Takes what was appended. Returns whether there was anything.
    fn take_frames(&mut self) -> bool {
        let mut took = false;
        for core in &*self.log.cores {
            let mut appended = core.0.lock();
            if appended.frames.is_empty() {
                continue;
            }
            let Appended { bytes, frames } = std::mem::take(&mut *appended);
            drop(appended);
            took = true;
            let (buffer, mut start) = (Arc::new(bytes), 0);
            for (number, end) in frames {
                self.waiting.insert(number, Waiting { buffer: buffer.clone(), start, end });
                start = end;
            }
        }
        took
    }

    /// Encodes the frames that are next, up to a switch to another file.
    fn encode(&mut self) {
        while self.switches.first().is_none_or(|&(number, _)| self.encoded < number)
            && let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() == self.encoded + 1)
        {
            let (number, Waiting { buffer, start, end }) = entry.remove_entry();
            let block_began = self.out.len();
            for record in Frame::of_items(Position::of_frame(number), &buffer[start..end]).records() {
                let time_ms = record.last().map_or(0, |command| command.time_ms);
                let commands: Vec<_> = record.into_iter().map(|command| (command.database, command.words)).collect();
                self.encoder.record(&mut self.out, time_ms, &commands);
            }
            if self.out.len() - block_began >= BLOCK_BYTES {
                self.encoder.end_block(&mut self.out);
            }
            self.out_of_backlog += end - start;
            self.encoded = number;
        }
    }

    /// Writes what was encoded. Returns whether anything was written. After an error the rest is kept, and what was written of it is cut off.
    fn write(&mut self) -> bool {
        self.encoder.end_block(&mut self.out);
        if self.out.is_empty() || self.log.is_failed_for_good() {
            return false;
        }
        match self.file.write(&self.out) {
            Ok(()) => {
                self.len += self.out.len() as u64;
                self.log.size.fetch_add(self.out.len() as u64, Ordering::Relaxed);
                self.written = self.encoded;
                self.out.clear();
                self.out.shrink_to(KEPT_BYTES_MAX);
                self.log.recover();
                self.log.note_written(std::mem::take(&mut self.out_of_backlog));
                true
            }
            Err(error) => {
                self.log.fail(Failed::Write, &error);
                if let Err(error) = self.file.truncate(self.len) {
                    // A part of a record is left. It may only be followed by its rest, which nobody knows.
                    self.log.fail(Failed::Sync, &error);
                }
                false
            }
        }
    }

    /// Syncs as the policy says.
    fn sync(&mut self) {
        if self.written == self.sync_begun || self.log.is_failed_for_good() {
            return;
        }
        let must = self.options.sync == Sync::Always || !self.flushes.is_empty();
        if must {
            self.syncer.wait();
            self.sync_begun = self.written;
            self.last_sync = Instant::now();
            Syncer::sync(&self.log, &*self.file, self.written);
        } else if self.options.sync == Sync::EverySecond && self.last_sync.elapsed() >= EVERY {
            if self.syncer.is_busy() {
                self.log.delayed_syncs.fetch_add(1, Ordering::Relaxed);
                self.last_sync = Instant::now();
                return;
            }
            self.sync_begun = self.written;
            self.last_sync = Instant::now();
            self.syncer.begin(self.file.clone(), self.written);
        }
    }

    /// Goes on with another file, if everything before it is written.
    fn switch(&mut self) {
        while let Some(&(number, _)) = self.switches.first()
            && self.encoded >= number
            && (self.written == self.encoded || self.log.is_failed_for_good())
        {
            let (_, file) = self.switches.remove(0);
            self.syncer.wait();
            // What a file holds that is given up will be in the base.
            if !self.log.is_failed_for_good() && self.sync_begun != self.written {
                self.sync_begun = self.written;
                Syncer::sync(&self.log, &*self.file, self.written);
            }
            (self.file, self.len) = (file, 0);
            self.out.clear();
            self.log.note_written(std::mem::take(&mut self.out_of_backlog));
            (self.written, self.sync_begun) = (self.encoded, self.encoded);
            self.encoder = Encoder::new(self.options.times, self.options.checksums);
            self.encoder.begin(&mut self.out);
            self.encode();
        }
    }

    /// Answers those who wait for everything to be synced. Returns whether there were any.
    fn finish_flushes(&mut self) -> bool {
        let is_synced = self.sync_begun == self.encoded && self.out.is_empty() || self.log.has_failed();
        if self.flushes.is_empty() || !is_synced {
            return false;
        }
        self.syncer.wait();
        for done in self.flushes.drain(..) {
            // Nobody may wait any more.
            let _ = done.send(());
        }
        true
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self) {
        self.log.is_asleep.store(true, Ordering::SeqCst);
        let is_idle =
            self.log.cores.iter().all(|core| core.0.lock().frames.is_empty()) && self.log.orders.lock().is_empty();
        if is_idle && self.log.options() == self.options {
            let unsynced = self.written != self.sync_begun && self.options.sync == Sync::EverySecond;
            match () {
                () if unsynced => thread::park_timeout(EVERY.saturating_sub(self.last_sync.elapsed())),
                () if self.out.is_empty() => thread::park(),
                () => thread::park_timeout(EVERY),
            }
        }
        self.log.is_asleep.store(false, Ordering::SeqCst);
    }
}

/// The thread that syncs every second, so that a slow disk does not keep the writer from writing.
struct Syncer {
    begin: mpsc::Sender<(Arc<dyn OutFile>, u64)>,
    done: mpsc::Receiver<()>,
    is_busy: bool,
}

impl Syncer {
    fn start(log: Arc<Log>) -> io::Result<Syncer> {
        let (begin, begun) = mpsc::channel::<(Arc<dyn OutFile>, u64)>();
        let (to_done, done) = mpsc::channel();
        let run = move || {
            for (file, number) in begun {
                log.is_syncing.store(true, Ordering::Relaxed);
                Syncer::sync(&log, &*file, number);
                log.is_syncing.store(false, Ordering::Relaxed);
                if to_done.send(()).is_err() {
                    return;
                }
            }
        };
        threads::spawn("ochre-aof-sync", run)?;
        Ok(Syncer { begin, done, is_busy: false })
    }

    /// Syncs a file, which has everything up to a frame.
    fn sync(log: &Log, file: &dyn OutFile, number: u64) {
        match file.sync() {
            Ok(()) => log.set_durable(number),
            Err(error) => log.fail(Failed::Sync, &error),
        }
    }

    fn begin(&mut self, file: Arc<dyn OutFile>, number: u64) {
        self.is_busy = self.begin.send((file, number)).is_ok();
    }

    fn is_busy(&mut self) -> bool {
        self.is_busy = self.is_busy && self.done.try_recv().is_err();
        self.is_busy
    }

    fn wait(&mut self) {
        if self.is_busy {
            // The thread ends only with the writer.
            let _ = self.done.recv();
            self.is_busy = false;
        }
    }
}
